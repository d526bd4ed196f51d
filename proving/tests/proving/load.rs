//! The load sees what a user would see, and forgives nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flow_proving::app::{App, Behaviour};
use flow_proving::load::{Client, Failure, Load};
use flow_proving::{Address, Directory, Outside, Port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SHORT: Duration = Duration::from_secs(10);

/// A server that answers each request on its own connection with `answer` and closes, without having said that it would.
async fn closing(answer: &'static str) -> Outside<(Port, Address)> {
    let port = Port::free()?;
    let address = port.address();
    let listener = TcpListener::bind(address.to_string()).await?;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    Ok((port, address))
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn failures(to: Address, client: Client, requests: u64) -> Outside<BTreeMap<Failure, usize>> {
    let load = Load::of(to, client).by_users(1).at_rate(200).at_most(requests, SHORT).start()?;
    let summary = load.finish().await?.summary();
    assert_eq!(u64::try_from(summary.requests)?, requests);
    Ok(summary.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_careful_client_sees_a_closed_connection_and_a_naive_one_does_not() -> Outside<()> {
    let (_port, address) = closing(WHOLE).await?;
    assert_eq!(failures(address.clone(), Client::Careful, 40).await?, BTreeMap::new());
    assert_eq!(failures(address.clone(), Client::New, 40).await?, BTreeMap::new());
    // Every second request: the one after a failure has a fresh connection.
    assert_eq!(failures(address, Client::Naive, 40).await?, BTreeMap::from([(Failure::EofStale, 20)]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_failure_is_told_from_the_others() -> Outside<()> {
    for (answer, failure) in [
        ("", Failure::Reset),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Failure::EofMid),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Failure::EofMid),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", Failure::Http5xx),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Failure::Bad),
        ("SMTP is something else\r\n\r\n", Failure::Bad),
    ] {
        let (_port, address) = closing(answer).await?;
        assert_eq!(failures(address, Client::New, 3).await?, BTreeMap::from([(failure, 3)]), "{answer}");
    }
    let nobody = Port::free()?.address();
    assert_eq!(failures(nobody, Client::Careful, 3).await?, BTreeMap::from([(Failure::Refused, 3)]));
    let nowhere = Address::Unix(Directory::new()?.path().join("nowhere.sock"));
    assert_eq!(failures(nowhere, Client::Naive, 3).await?, BTreeMap::from([(Failure::Refused, 3)]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_answers_of_every_form_are_understood() -> Outside<()> {
    for answer in [
        WHOLE,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n3\r\nmor\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: etag\r\n\r\n4\r\nfour\r\n0\r\netag: 4\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let (_port, address) = closing(answer).await?;
        assert_eq!(failures(address, Client::New, 3).await?, BTreeMap::new(), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_answer_that_lacks_its_end_is_cut_off() -> Outside<()> {
    for answer in ["4\r\nfour\r\n", "4\r\nfour\r\n0\r\n", "4\r\nfour\r\n0\r\netag: 4\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{answer}");
        let (_port, address) = closing(answer.leak()).await?;
        assert_eq!(failures(address, Client::New, 1).await?, BTreeMap::from([(Failure::EofMid, 1)]));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_counted_by_kind() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let slow = Behaviour { request_ms: 100, ..Behaviour::of("1") };
    let app = App::start(&directory, &address, &slow).await?;
    let load = Load::of(address, Client::Careful).at_rate(100).at_most(500, SHORT).start()?;
    load.until(|log| log.answered_by("1") > 20).await?;
    app.kill();
    load.until(|log| log.failures().count() > 20).await?;
    let log = load.stop().await?;
    let summary = log.summary();
    assert_eq!(summary.requests, summary.failures() + log.answered_by("1"));
    // About ten were under way, each on a connection that had answered before.
    let stale = summary.failed.get(&Failure::EofStale).copied().unwrap_or(0);
    assert!((2..=16).contains(&stale), "{summary}");
    assert!(summary.failed.contains_key(&Failure::Refused), "{summary}");
    let pid = Some(app.process().pid);
    assert!(log.0.iter().all(|record| record.failure.is_some() || record.pid == pid));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_five_seconds_is_a_timeout() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let _app = App::start(&directory, &address, &Behaviour::of("1")).await?;
    let load = Load::of(address, Client::New).path("/hold").at_most(1, SHORT).start()?;
    let log = load.finish().await?;
    assert_eq!(log.0[0].failure, Some(Failure::Timeout));
    assert!(log.0[0].end - log.0[0].start >= Duration::from_secs(5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_is_kept_and_lateness_is_not_forgiven() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let slow = Behaviour { request_ms: 50, ..Behaviour::of("1") };
    let _app = App::start(&directory, &address, &slow).await?;
    // One user answers 20 requests a second at most; 40 a second are due.
    let load = Load::of(address, Client::Careful).by_users(1).at_rate(40).at_most(20, SHORT);
    let (begun, log) = (Instant::now(), load.start()?.finish().await?);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let [first, last] = [0, 19].map(|index: usize| log.0[index].due);
    assert_eq!((last - first).as_millis(), 475);
    let waited = log.0[19].end - log.0[19].due;
    assert!(waited >= Duration::from_millis(450), "the last one waited {waited:?}");
    assert!(log.0.iter().skip(1).all(|record| record.reused));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_can_have_a_header_of_its_own_and_the_load_is_bounded_in_time() -> Outside<()> {
    let (_port, address) = closing(WHOLE).await?;
    let load = Load::of(address, Client::New).at_rate(50).at_most(1_000_000, Duration::from_millis(300));
    let log = load.header(|number| ("cookie".to_owned(), format!("uid={number}"))).start()?.finish().await?;
    assert!((5..=17).contains(&log.requests()), "{}", log.requests());
    Ok(())
}
