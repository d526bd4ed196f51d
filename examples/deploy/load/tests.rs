//! Judged by what a server saw.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

/// What a server does with a request after it has read it.
enum Act {
    Answer(&'static str),
    /// Answers, and closes the connection without having said so.
    AnswerAndClose(&'static str),
    Close,
    AnswerInPart,
}

/// A server that writes down the paths it is asked for.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = listen();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, act) = (Arc::clone(&asked), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, act, stream) = (Arc::clone(&seen), Arc::clone(&act), stream.unwrap());
                std::thread::spawn(move || converse(&stream, &seen, &*act));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn listen() -> TcpListener {
    (20_000..24_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap()
}

fn converse(mut stream: &TcpStream, seen: &Mutex<Vec<String>>, act: &dyn Fn(usize, &str) -> Act) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(first)) = lines.next() {
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(path.clone());
            seen.len()
        };
        let answer = |status: &str| {
            format!("HTTP/1.1 {status}\r\nx-flow-version: 1.1.0\r\ncontent-length: 2\r\n\r\nok")
        };
        let (text, goes_on) = match act(number, &path) {
            Act::Answer(status) => (answer(status), true),
            Act::AnswerAndClose(status) => (answer(status), false),
            Act::Close => (String::new(), false),
            Act::AnswerInPart => (answer("200 OK").trim_end_matches('k').to_owned(), false),
        };
        stream.write_all(text.as_bytes()).unwrap();
        if !goes_on {
            return;
        }
    }
}

fn plan(address: SocketAddr) -> LoadPlan {
    LoadPlan { address, workers: 4, per_second: 1000, orders: 5 }
}

/// Returns when as many requests have ended.
async fn until(load: &Load, sent: usize) {
    let start = Instant::now();
    while load.ledger.records().len() < sent {
        assert!(start.elapsed() < Duration::from_secs(60), "{load:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_sent_is_what_the_server_was_asked() {
    let server = Server::start(|_, path| match path {
        "/api/total" => Act::Answer("500 Internal Server Error"),
        _ => Act::Answer("200 OK"),
    });
    let load = Load::start(plan(server.address));
    until(&load, 200).await;
    let report = load.stop().await;
    let asked = server.asked();
    let count = |wanted: &str| asked.iter().filter(|path| *path == wanted).count() as u64;
    assert_eq!(report.all.sent, asked.len() as u64);
    assert_eq!(report.all.failed, count("/api/total"));
    assert_eq!(report.by_status["500"], count("/api/total"));
    assert_eq!(report.by_version.keys().collect::<Vec<_>>(), ["1.1.0"]);
    for order in 1..=5 {
        assert!(count(&format!("/api/orders/{order}")) >= 30, "{order}");
    }
    assert_eq!(count("/api/orders/0") + count("/api/orders/6"), 0);
    assert!(count("/health") >= 19 && count("/api/total") >= 19);
}

#[tokio::test]
async fn a_request_without_a_whole_answer_is_a_failure_and_not_sent_again() {
    let server = Server::start(|number, _| match number % 5 {
        0 => Act::Close,
        1 => Act::AnswerInPart,
        _ => Act::Answer("200 OK"),
    });
    let load = Load::start(plan(server.address));
    until(&load, 100).await;
    let report = load.stop().await;
    let asked = server.asked().len() as u64;
    assert_eq!(report.all.sent, asked);
    assert_eq!(report.by_status["none"], asked / 5 + asked.div_ceil(5));
    assert_eq!(report.all.failed, report.by_status["none"]);
}

#[tokio::test]
async fn a_connection_that_is_closed_between_two_requests_fails_nobody() {
    let server = Server::start(|_, _| Act::AnswerAndClose("200 OK"));
    // Slow enough for each close to arrive before the next request.
    let load = Load::start(LoadPlan { per_second: 10, workers: 2, ..plan(server.address) });
    until(&load, 6).await;
    let report = load.stop().await;
    assert_eq!((report.all.sent, report.all.failed), (server.asked().len() as u64, 0), "{report}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_fails_every_request() {
    // No outgoing connection is ever given a port of this range, so it stays closed.
    let address = listen().local_addr().unwrap();
    let load = Load::start(plan(address));
    until(&load, 20).await;
    let report = load.stop().await;
    assert_eq!(report.all.sent, report.all.failed);
    assert!(report.failures.iter().all(|failure| failure.contains("refused")), "{:?}", report.failures);
    assert!(!report.is_flawless());
}

#[tokio::test]
async fn no_more_is_sent_than_the_pace_allows() {
    let server = Server::start(|_, _| Act::Answer("200 OK"));
    let start = Instant::now();
    let load = Load::start(LoadPlan { per_second: 200, ..plan(server.address) });
    until(&load, 60).await;
    let report = load.stop().await;
    let allowed = start.elapsed().as_secs_f64() * 200.0 + 4.0;
    assert!(f64::from(u32::try_from(report.all.sent).unwrap()) <= allowed, "{report}, {allowed} allowed");
}

#[tokio::test]
async fn users_that_are_dropped_ask_no_more() {
    let server = Server::start(|_, _| Act::Answer("200 OK"));
    let load = Load::start(plan(server.address));
    until(&load, 10).await;
    let ledger = Arc::downgrade(&load.ledger);
    drop(load);
    let start = Instant::now();
    // Each worker holds the ledger for as long as it works.
    while ledger.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
}
