use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::port::{Cdn, Notification, Notifier, ProbeRequest, Prober};
use flow_core::{CancelToken, Clock, ErrorKind, Fence, Permit, SystemClock};
use flow_local::store::{DirectSite, HttpProber, Webhook};
use flow_testkit::{permit, permit_under};
use tempfile::TempDir;

use super::server::{Server, hang_up, listen};
use super::tree::{plant, whole};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);
const TOKEN: &str = "T0k3nT0k3nT0k3n";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn message() -> Notification {
    Notification { title: "1.1.0 is live".to_owned(), text: "all \"eight\" stages".to_owned() }
}

fn webhook(address: impl std::fmt::Display, timeout: Duration) -> Webhook {
    Webhook::new(&format!("http://{address}/hooks/{TOKEN}?key={TOKEN}"), timeout, clock()).unwrap()
}

#[tokio::test]
async fn a_notification_arrives_as_json_under_the_same_key_on_every_attempt() {
    let server = Server::start(|_| Some((200, b"{\"id\": 7}\n".to_vec()))).await;
    let hook = webhook(server.address, LONG);
    for attempt in 1..=2 {
        let permit = permit_under("run-1/monitoring/notify", Fence(3), attempt);
        let receipt = hook.notify(&permit, &message()).await.unwrap();
        assert_eq!(receipt.answer, "{\"id\": 7}");
    }
    hook.notify(&permit_under("another", Fence(3), 1), &message()).await.unwrap();

    let asked = server.asked();
    let keys: Vec<&str> =
        asked.iter().map(|asked| asked.headers["idempotency-key"].to_str().unwrap()).collect();
    assert_eq!(keys, ["run-1/monitoring/notify", "run-1/monitoring/notify", "another"]);
    for asked in &asked {
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.target, format!("/hooks/{TOKEN}?key={TOKEN}"));
        assert_eq!(asked.headers["content-type"], "application/json");
        let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body, serde_json::json!({"title": "1.1.0 is live", "text": "all \"eight\" stages"}));
    }
}

#[tokio::test]
async fn each_status_of_a_webhook_is_the_kind_that_it_means_and_none_shows_the_token() {
    let status = Arc::new(Mutex::new(200));
    let answer = Arc::clone(&status);
    let server =
        Server::start(move |asked| Some((*answer.lock().unwrap(), asked.target.clone().into()))).await;
    let hook = webhook(server.address, LONG);
    for (code, kind) in [
        (302, ErrorKind::Invalid),
        (400, ErrorKind::Invalid),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (408, ErrorKind::Throttled),
        (410, ErrorKind::NotFound),
        (422, ErrorKind::Invalid),
        (429, ErrorKind::Throttled),
        (500, ErrorKind::TimedOut),
        (503, ErrorKind::TimedOut),
    ] {
        *status.lock().unwrap() = code;
        let error = hook.notify(&permit(), &message()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(error.to_string().contains(&code.to_string()), "{error}");
        assert!(!whole(&error).contains(TOKEN), "{}", whole(&error));
    }
    *status.lock().unwrap() = 204;
    assert_eq!(hook.notify(&permit(), &message()).await.unwrap().answer, "status 204");
    *status.lock().unwrap() = 200;
    let echoed = hook.notify(&permit(), &message()).await.unwrap().answer;
    assert!(!echoed.contains(TOKEN), "{echoed}");
    let shown = format!("{hook:?}");
    assert!(shown.contains(&server.address.to_string()) && !shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_hangs_or_hangs_up_is_told_apart() {
    let nobody = listen().await;
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let unreachable = webhook(address, LONG).notify(&permit(), &message()).await.unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::Unavailable);

    let silent = Server::start(|_| None).await;
    let hanging = webhook(silent.address, SHORT).notify(&permit(), &message()).await.unwrap_err();
    assert_eq!(hanging.kind(), ErrorKind::TimedOut);
    assert_eq!(silent.asked().len(), 1, "the notification did arrive");

    let (address, accepting) = hang_up().await;
    let broken = webhook(address, LONG).notify(&permit(), &message()).await.unwrap_err();
    accepting.abort();
    assert_eq!(broken.kind(), ErrorKind::TimedOut);

    let token = CancelToken::new();
    token.cancel();
    let cancelled = Permit::for_tests("test", Fence(1), 1, token);
    let cancelled = webhook(silent.address, LONG).notify(&cancelled, &message()).await.unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);

    let large = Server::start(|_| Some((200, vec![b'x'; (64 << 10) + 1]))).await;
    let large = webhook(large.address, LONG).notify(&permit(), &message()).await.unwrap_err();
    assert!(!large.kind().is_rejection(), "{large}");
    for error in [unreachable, hanging, broken, cancelled, large] {
        assert!(!whole(&error).contains(TOKEN), "{}", whole(&error));
        assert!(error.to_string().contains("http://127.0.0.1:"), "{error}");
    }
}

#[test]
fn a_webhook_that_is_not_plain_http_on_this_machine_is_refused_with_all_problems() {
    let bad = |url: &str| Webhook::new(url, Duration::ZERO, clock()).unwrap_err().to_string();
    for (url, problem) in [
        (format!("https://localhost/{TOKEN}"), "TLS"),
        (format!("http://example.org/{TOKEN}"), "loopback"),
        (format!("http://10.0.0.1/{TOKEN}"), "loopback"),
        (format!("http://user:{TOKEN}@localhost/"), "user information"),
        (format!("http://localhost:99999/{TOKEN}"), "port"),
        (format!("/{TOKEN}"), "http://"),
        (format!("not a url {TOKEN}"), "not a URL"),
    ] {
        let text = bad(&url);
        assert!(text.contains(problem) && text.contains("`timeout`"), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
    assert!(Webhook::new("http://[::1]:8080/x", LONG, clock()).is_ok());
}

async fn probe(url: String, timeout: Duration) -> Result<flow_core::port::ProbeReply, flow_core::StepError> {
    HttpProber::new(clock()).get(&ProbeRequest { url, timeout }).await
}

#[tokio::test]
async fn any_status_of_a_probe_is_a_reply_and_redirects_are_not_followed() {
    let server = Server::start(|asked| {
        let status = asked.target.trim_start_matches("/status/").parse().unwrap();
        Some((status, asked.target.clone().into()))
    })
    .await;
    for status in [200, 302, 404, 500, 503] {
        let reply = probe(format!("http://{}/status/{status}", server.address), LONG).await.unwrap();
        assert_eq!((reply.status, reply.body), (status, format!("/status/{status}").into_bytes()));
        assert!(reply.elapsed < LONG);
    }
    assert_eq!(server.asked().len(), 5);
    let host = server.asked()[0].headers["host"].to_str().unwrap().to_owned();
    assert_eq!(host, server.address.to_string());
}

#[tokio::test]
async fn a_probe_without_an_answer_says_why_and_never_shows_the_query() {
    let nobody = listen().await;
    let free = nobody.local_addr().unwrap();
    drop(nobody);
    let silent = Server::start(|_| None).await;
    let (broken, accepting) = hang_up().await;
    for (address, kind) in [
        (free, ErrorKind::Unavailable),
        (silent.address, ErrorKind::TimedOut),
        (broken, ErrorKind::Unavailable),
    ] {
        let error = probe(format!("http://{address}/health?key={TOKEN}"), SHORT).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&format!("http://{address}/health`")), "{error}");
        assert!(!whole(&error).contains(TOKEN), "{}", whole(&error));
    }
    accepting.abort();
    for (url, problem) in
        [("https://localhost/", "TLS"), ("ftp://localhost/", "http://"), ("nothing", "http://")]
    {
        let error = probe(url.to_owned(), LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(whole(&error).contains("`url`") && whole(&error).contains(problem), "{}", whole(&error));
    }
}

/// A target, and the status and body that it gets in place of the file.
type Stale = Arc<Mutex<Option<(String, (u16, Vec<u8>))>>>;

/// Serves the files of a directory, with `stale` in place of what the named file holds.
async fn serve(root: &Path, stale: Stale) -> Server {
    let root = root.to_path_buf();
    Server::start(move |asked| {
        if let Some((target, answer)) = stale.lock().unwrap().clone()
            && target == asked.target
        {
            return Some(answer);
        }
        let path = asked.target.trim_start_matches("/shop/").replace("%20", " ");
        let path = if path.is_empty() { "index.html".to_owned() } else { path };
        Some(fs::read(root.join(path)).map_or((404, b"no such page".to_vec()), |content| (200, content)))
    })
    .await
}

#[tokio::test]
async fn a_purge_proves_that_every_path_is_served_as_the_directory_holds_it() {
    let directory = TempDir::new().unwrap();
    plant(directory.path(), &[("index.html", "page"), ("css/my site.css", "body {}")]);
    let stale = Arc::new(Mutex::new(None));
    let server = serve(directory.path(), Arc::clone(&stale)).await;
    let base = format!("http://{}/shop/", server.address);
    let site = DirectSite::new(&base, directory.path(), LONG, clock()).unwrap();
    let paths: Vec<String> =
        ["/", "index.html", "/css/my site.css", "gone.html"].iter().map(ToString::to_string).collect();
    site.purge(&permit(), &paths).await.unwrap();
    let asked = server.asked();
    let targets: Vec<&str> = asked.iter().map(|asked| asked.target.as_str()).collect();
    assert_eq!(targets, ["/shop/", "/shop/index.html", "/shop/css/my%20site.css", "/shop/gone.html"]);
    assert!(asked.iter().all(|asked| asked.headers["cache-control"] == "no-cache"));

    for (target, answer, problem) in [
        ("/shop/index.html", (200, b"old!".to_vec()), "`index.html`: the site serves other content"),
        ("/shop/index.html", (200, b"older".to_vec()), "`index.html`: the site serves more"),
        ("/shop/index.html", (404, b"".to_vec()), "`index.html`: the site answers 404"),
        ("/shop/gone.html", (200, b"page".to_vec()), "`gone.html`: the site answers 200"),
    ] {
        *stale.lock().unwrap() = Some((target.to_owned(), answer));
        let error = site.purge(&permit(), &paths).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(whole(&error).contains(problem), "{problem} in {}", whole(&error));
    }
    *stale.lock().unwrap() = None;
    let outside = site.purge(&permit(), &["/../secret".to_owned()]).await.unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_domain_is_looked_at_from_outside() {
    let directory = TempDir::new().unwrap();
    let server =
        Server::start(|asked| Some((if asked.target == "/bad" { 500 } else { 200 }, Vec::new()))).await;
    let site = |url: String| DirectSite::new(&url, directory.path(), LONG, clock()).unwrap();
    let good = site(format!("http://localhost:{}/", server.address.port())).domain().await.unwrap();
    assert!(good.holds && good.found.contains("127.0.0.1") && good.found.contains("answers 200"), "{good:?}");
    assert_eq!(good.domain, "localhost");

    let failing = site(format!("http://{}/bad", server.address)).domain().await.unwrap();
    assert!(!failing.holds && failing.found.contains("answers 500"), "{failing:?}");
    let nobody = listen().await;
    let free = nobody.local_addr().unwrap();
    drop(nobody);
    let closed = site(format!("http://{free}/")).domain().await.unwrap();
    assert!(!closed.holds && closed.found.contains("no connection"), "{closed:?}");

    let problems =
        DirectSite::new("https://localhost/?x", directory.path(), Duration::ZERO, clock()).unwrap_err();
    assert_eq!(problems.as_slice().len(), 2, "{problems}");
}
