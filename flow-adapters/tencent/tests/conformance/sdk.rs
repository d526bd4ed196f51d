use std::process::Command;
use std::sync::Arc;

use flow_core::Timestamp;
use flow_tencent::{Action, Credential, Failure, SdkDnspod, tc3};
use serde::{Deserialize, Serialize};

use crate::server::{Reply, Server};
use crate::skipping_clock::SkippingClock;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeRecordList {
    domain: &'static str,
}

/// What a refusal looks like to the crate itself: an answer in which nothing is named.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    record_list: Option<Vec<Record>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

impl Action for DescribeRecordList {
    const NAME: &'static str = "DescribeRecordList";
    type Answer = Records;
}

#[derive(Serialize)]
struct DeleteRecord {}

impl Action for DeleteRecord {
    const NAME: &'static str = "DeleteRecord";
    type Answer = Records;
}

const QUESTION: DescribeRecordList = DescribeRecordList { domain: "example.com" };

const FOUND: &str = r#"{"Response":{"RecordList":[{"Value":"cdn.example."}],"RequestId":"r-1"}}"#;

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/tls/certificate.pem");

/// Whether the test `name` ran and held in a process whose OpenSSL trusts the server's certificate; false in that process.
fn held_with_trust(name: &str) -> bool {
    if std::env::var_os("SSL_CERT_FILE").is_some_and(|file| file == CERTIFICATE) {
        return false;
    }
    let mut test = Command::new(std::env::current_exe().unwrap());
    let output = test.args(["--exact", name]).env("SSL_CERT_FILE", CERTIFICATE).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

fn dnspod(server: &Server, token: Option<&str>) -> SdkDnspod {
    let credential = Credential::new("AKID1", "s3cret", token.map(str::to_owned)).unwrap();
    SdkDnspod::new(Some(&server.host()), Arc::new(credential), Arc::new(SkippingClock::default())).unwrap()
}

#[tokio::test]
async fn the_crate_signs_as_we_do_and_its_answer_is_read() {
    if held_with_trust("sdk::the_crate_signs_as_we_do_and_its_answer_is_read") {
        return;
    }
    let server = Server::telling_by_tls([Reply::json(FOUND)]).await;
    let records = dnspod(&server, None).ask(&QUESTION).await.unwrap().record_list.unwrap();
    assert_eq!(records[0].value, "cdn.example.");
    let asked = server.asked();
    assert_eq!((&*asked[0].line, asked[0].text()), ("POST /", r#"{"Domain":"example.com"}"#));
    assert_eq!(asked[0].header("x-tc-action"), Some("DescribeRecordList"));
    assert_eq!(asked[0].header("x-tc-version"), Some("2021-03-23"));
    let request = tc3::Request {
        method: "POST",
        query: "",
        host: &server.host(),
        content_type: asked[0].header("content-type").unwrap(),
        service: "dnspod",
        payload: tc3::Payload::Signed(&asked[0].body),
    };
    let at: i64 = asked[0].header("x-tc-timestamp").unwrap().parse().unwrap();
    let credential = Credential::new("AKID1", "s3cret", None).unwrap();
    let ours = tc3::sign(&request, &credential, Timestamp::from_second(at).unwrap());
    assert_eq!(asked[0].header("authorization").unwrap(), ours.as_str().replace(", ", ","));
}

#[tokio::test]
async fn a_refusal_that_the_crate_takes_for_an_answer_is_an_error_with_code_and_request_id() {
    if held_with_trust(
        "sdk::a_refusal_that_the_crate_takes_for_an_answer_is_an_error_with_code_and_request_id",
    ) {
        return;
    }
    let server = Server::telling_by_tls([Reply::refusal("ResourceNotFound.NoDataOfRecord")]).await;
    let error = dnspod(&server, None).ask(&QUESTION).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound);
    assert_eq!((error.code(), error.request_id()), (Some("ResourceNotFound.NoDataOfRecord"), Some("r-1")));
    assert_eq!((error.service(), error.action()), ("dnspod", "DescribeRecordList"));
}

#[tokio::test]
async fn what_is_throttled_broken_or_no_answer_is_asked_again() {
    if held_with_trust("sdk::what_is_throttled_broken_or_no_answer_is_asked_again") {
        return;
    }
    let replies = [Reply::refusal("RequestLimitExceeded"), Reply::of(502, &[], "<html>"), Reply::HangUp];
    let server = Server::telling_by_tls(replies.into_iter().chain([Reply::json(FOUND)])).await;
    dnspod(&server, None).ask(&QUESTION).await.unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn nothing_is_sent_that_may_change_something_or_needs_a_token_or_goes_to_nobody_known() {
    let server = Server::telling_by_tls([]).await;
    let error = dnspod(&server, None).ask(&DeleteRecord {}).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Invalid);
    let error = dnspod(&server, Some("t0ken")).ask(&QUESTION).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Auth);
    let error = dnspod(&server, None).ask(&QUESTION).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Transient, "the certificate is not trusted");
    assert!(!format!("{error:?} {:?}", dnspod(&server, None)).contains("s3cret"));
    assert!(server.asked().is_empty());
    let credential = Arc::new(Credential::new("AKID1", "s3cret", None).unwrap());
    assert!(SdkDnspod::new(Some("a/b"), credential, Arc::new(SkippingClock::default())).is_err());
}
