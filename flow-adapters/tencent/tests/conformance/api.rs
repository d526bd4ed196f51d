use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Clock as _, ErrorKind, StepError};
use flow_tencent::{Action, Api, ApiConfig, ApiError, Credential, Failure, Nature};
use serde::{Deserialize, Serialize};

use crate::server::{Reply, Server, listen};
use crate::skipping_clock::SkippingClock;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateAlias {
    function_name: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    request_id: String,
}

impl Action for UpdateAlias {
    const NAME: &'static str = "UpdateAlias";
    type Answer = Updated;
}

const DONE: &str = r#"{"Response":{"RequestId":"r-9"}}"#;

fn api(url: &str, clock: &SkippingClock) -> Api {
    let config = ApiConfig {
        service: "scf".into(),
        version: "2018-04-16".into(),
        region: Some("ap-guangzhou".into()),
        endpoint: Some(url.to_owned()),
    };
    let credential = Credential::new("AKID1", "s3cret", Some("t0ken".into())).unwrap();
    Api::new(config, Arc::new(credential), Arc::new(clock.clone())).unwrap()
}

async fn called(server: &Server, nature: Nature) -> Result<Updated, ApiError> {
    api(&server.url(), &SkippingClock::default())
        .call(&UpdateAlias { function_name: "demo".into() }, nature)
        .await
}

#[tokio::test]
async fn a_call_is_one_signed_post() {
    let server = Server::telling([Reply::json(DONE)]).await;
    assert_eq!(called(&server, Nature::Writes).await.unwrap(), Updated { request_id: "r-9".into() });
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((&*asked[0].line, asked[0].text()), ("POST /", r#"{"FunctionName":"demo"}"#));
    for (name, value) in [
        ("host", server.url().trim_start_matches("http://")),
        ("content-type", "application/json"),
        ("x-tc-action", "UpdateAlias"),
        ("x-tc-version", "2018-04-16"),
        ("x-tc-region", "ap-guangzhou"),
        ("x-tc-token", "t0ken"),
        ("x-tc-timestamp", "1767225600"),
    ] {
        assert_eq!(asked[0].header(name), Some(value), "{name}");
    }
    let authorization = asked[0].header("authorization").unwrap();
    let expected = "TC3-HMAC-SHA256 Credential=AKID1/2026-01-01/scf/tc3_request, SignedHeaders=content-type;host, Signature=";
    assert!(authorization.starts_with(expected), "{authorization}");
}

#[tokio::test]
async fn throttled_twice_and_then_fine_is_exactly_three_requests() {
    for nature in [Nature::Reads, Nature::Writes] {
        let busy = Reply::refusal("RequestLimitExceeded");
        let server = Server::telling([busy.clone(), busy, Reply::json(DONE)]).await;
        called(&server, nature).await.unwrap();
        assert_eq!(server.asked().len(), 3);
    }
}

#[tokio::test]
async fn always_throttled_ends_after_eight_requests_with_code_and_request_id() {
    let server = Server::telling(vec![Reply::refusal("RequestLimitExceeded.UinLimitExceeded"); 8]).await;
    let error = called(&server, Nature::Writes).await.unwrap_err();
    assert_eq!(server.asked().len(), 8);
    assert_eq!((error.failure(), error.request_id()), (Failure::Throttled, Some("r-1")));
    assert_eq!(error.code(), Some("RequestLimitExceeded.UinLimitExceeded"));
    assert_eq!(StepError::from(error).kind(), ErrorKind::Throttled);
}

/// How an answer can be lost or say nothing.
fn lost() -> [Reply; 5] {
    [
        Reply::HangUp,
        Reply::of(502, &[], "<html>"),
        Reply::announcing(200, &[], DONE.len() + 1, DONE),
        Reply::json(r#"{"Response":{"Requ"#),
        Reply::refusal("InternalError.System"),
    ]
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_in_doubt_and_never_sent_again() {
    for reply in lost() {
        let server = Server::telling([reply.clone()]).await;
        let error = called(&server, Nature::Writes).await.unwrap_err();
        assert!(error.is_in_doubt(), "{reply:?}: {error}");
        assert_eq!(server.asked().len(), 1, "{reply:?}");
        assert!(!StepError::from(error).kind().is_rejection());
    }
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_asked_again() {
    for reply in lost() {
        let server = Server::telling([reply.clone(), reply.clone(), Reply::json(DONE)]).await;
        called(&server, Nature::Reads).await.unwrap_or_else(|error| panic!("{reply:?}: {error}"));
        assert_eq!(server.asked().len(), 3, "{reply:?}");
    }
}

#[tokio::test]
async fn a_write_that_reached_nobody_is_tried_again_and_is_no_doubt() {
    let nobody = listen().await.local_addr().unwrap();
    let clock = SkippingClock::default();
    let error = api(&format!("http://{nobody}"), &clock)
        .call(&UpdateAlias { function_name: "demo".into() }, Nature::Writes)
        .await
        .unwrap_err();
    assert_eq!(error.failure(), Failure::Transient);
    assert!(clock.monotonic() > Duration::ZERO, "it waited before it tried again");
    assert_eq!(StepError::from(error).kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_one_request() {
    for (code, failure) in [
        ("AuthFailure.SignatureFailure", Failure::Auth),
        ("ResourceNotFound.Function", Failure::NotFound),
        ("LimitExceeded.FunctionVersions", Failure::Quota),
        ("FailedOperation.FunctionStatusError", Failure::Busy),
        ("UnknownParameter", Failure::Invalid),
    ] {
        let server = Server::telling([Reply::refusal(code)]).await;
        let error = called(&server, Nature::Writes).await.unwrap_err();
        assert_eq!((error.failure(), error.code()), (failure, Some(code)));
        assert_eq!((error.service(), error.action()), ("scf", "UpdateAlias"));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_told_by_name() {
    let body =
        r#"{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire","Message":"old"},"RequestId":"r"}}"#;
    let server = Server::telling([Reply::of(200, &[("Date", "Thu, 01 Jan 2026 00:10:00 GMT")], body)]).await;
    let error = called(&server, Nature::Reads).await.unwrap_err();
    assert_eq!(error.failure(), Failure::ClockSkew);
    assert!(error.to_string().contains("600 s behind"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_request_of_more_than_ten_megabytes_is_not_sent() {
    let server = Server::telling([]).await;
    let large = UpdateAlias { function_name: "x".repeat(10_000_000) };
    let error = api(&server.url(), &SkippingClock::default()).call(&large, Nature::Writes).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Invalid);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_while_it_waits_for_its_answer() {
    let server = Server::telling([Reply::Silence]).await;
    let cancel = CancelToken::new();
    let api = api(&server.url(), &SkippingClock::default()).until(&cancel);
    let action = UpdateAlias { function_name: "demo".into() };
    let call = api.call(&action, Nature::Writes);
    let cancelling = async {
        while !server.was_asked() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(call, cancelling);
    assert_eq!(ended.unwrap_err().failure(), Failure::Cancelled);
}

/// An action that may take no longer than a moment.
#[derive(Serialize)]
struct Hurried {}

impl Action for Hurried {
    const NAME: &'static str = "Hurried";
    const WITHIN: Duration = Duration::from_millis(100);
    type Answer = Updated;
}

#[tokio::test]
async fn a_write_whose_answer_does_not_come_in_time_is_in_doubt() {
    let server = Server::telling([Reply::Silence]).await;
    let call = api(&server.url(), &SkippingClock::default());
    let ended = tokio::time::timeout(Duration::from_secs(20), call.call(&Hurried {}, Nature::Writes)).await;
    let error = ended.unwrap().unwrap_err();
    assert_eq!((error.failure(), error.message()), (Failure::InDoubt, "no answer came in time"));
    assert_eq!(server.asked().len(), 1);
}

/// The variables of a proxy are the whole process's: the test runs again in a process that has them.
#[tokio::test]
async fn no_proxy_is_asked() {
    let nobody = listen().await.local_addr().unwrap();
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "api::a_call_is_one_signed_post"]).env("NO_PROXY", "");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        test.env(name, format!("http://{nobody}"));
    }
    let output = test.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn an_answer_that_is_not_as_documented_says_that_it_was_carried_out() {
    for (response, told) in [
        (r#"{"RequestId":["s3cret"]}"#, "expected a string"),
        (r#"{"Other":"s3cret"}"#, "missing field `RequestId`"),
    ] {
        let server = Server::telling([Reply::json(&format!(r#"{{"Response":{response}}}"#))]).await;
        let error = called(&server, Nature::Writes).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Unexpected);
        assert!(error.message().ends_with(told) && !format!("{error:?}").contains("s3cret"), "{error:?}");
        assert_eq!(StepError::from(error).kind(), ErrorKind::Unknown);
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn the_services_time_is_ours_corrected_by_its_last_answer() {
    let clock = SkippingClock::default();
    let dated = |date| Reply::of(200, &[("Date", date)], DONE);
    let server = Server::telling([
        dated("Thu, 01 Jan 2026 00:10:00 GMT"),
        dated("Wed, 31 Dec 2025 23:59:00 GMT"),
        Reply::json(DONE),
    ])
    .await;
    let api = api(&server.url(), &clock);
    let (clone, action) = (api.clone(), UpdateAlias { function_name: "demo".into() });
    assert_eq!(api.now(), clock.now());
    for ahead in [-600, 60, 60] {
        clone.call(&action, Nature::Reads).await.unwrap();
        assert_eq!(clock.now().as_second() - api.now().as_second(), ahead);
    }
}

#[tokio::test]
async fn a_download_is_one_unsigned_request_that_is_repeated_when_it_breaks() {
    let cut = Reply::announcing(200, &[], 9, "1234");
    let server = Server::telling([Reply::of(502, &[], ""), cut, Reply::of(200, &[], "123456789")]).await;
    let url = format!("{}/code.zip?sign=s3cret", server.url());
    let content = api(&server.url(), &SkippingClock::default()).download(&url, 9).await.unwrap();
    assert_eq!(&*content, b"123456789");
    assert_eq!(server.lines(), ["GET /code.zip?sign=s3cret"; 3]);
    let asked = server.asked();
    assert_eq!((asked[0].header("authorization"), asked[0].header("x-tc-token")), (None, None));
}

#[tokio::test]
async fn a_download_that_is_refused_too_long_or_led_elsewhere_says_so_without_its_address() {
    let elsewhere = Reply::of(302, &[("Location", "http://127.0.0.1:1/")], "");
    for (reply, failure) in [
        (Reply::of(403, &[], "<html>"), Failure::Auth),
        (Reply::of(404, &[], ""), Failure::NotFound),
        (Reply::of(200, &[], "1234567890"), Failure::Invalid),
        (elsewhere, Failure::Unexpected),
    ] {
        let server = Server::telling([reply]).await;
        let url = format!("{}/code.zip?sign=s3cret", server.url());
        let error = api(&server.url(), &SkippingClock::default()).download(&url, 9).await.unwrap_err();
        assert_eq!((error.failure(), error.action()), (failure, "GET url"));
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_download_of_plain_http_stays_on_this_machine_and_an_address_that_is_lost_is_not_shown() {
    let nobody = listen().await.local_addr().unwrap();
    let api = api(&format!("http://{nobody}"), &SkippingClock::default());
    for url in ["", "code.zip", "http://example.com/?sign=s3cret", "file:///etc/passwd", "data:,s3cret"] {
        let error = api.download(url, 9).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Invalid, "{url}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    let error = api.download(&format!("http://{nobody}/?sign=s3cret"), 9).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Transient);
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_this_machine_does_not_trust_ends_before_anything_is_sent() {
    let server = Server::telling_by_tls([]).await;
    let url = format!("https://{}", server.host());
    let action = UpdateAlias { function_name: "demo".into() };
    let error = api(&url, &SkippingClock::default()).call(&action, Nature::Writes).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Transient);
    assert!(server.asked().is_empty());
}
