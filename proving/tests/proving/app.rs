//! The application behaves as it is told.

use std::time::{Duration, Instant};

use flow_proving::app::{App, Behaviour};
use flow_proving::{Address, Directory, Outside, Port, Request, exchange, until};
use rustix::process::Signal;

async fn status(address: &Address) -> Outside<u16> {
    Ok(exchange(address, &Request::get("/")).await?.status)
}

#[tokio::test]
async fn it_answers_with_its_version_and_process_on_a_port_and_on_a_socket() -> Outside<()> {
    let (directory, port) = (Directory::new()?, Port::free()?);
    for address in [port.address(), Address::Unix(directory.path().join("web.sock"))] {
        let app = App::start(&directory, &address, &Behaviour::of("1.2.3")).await?;
        let reply = exchange(&address, &Request::with_body("POST", "/any", "body")).await?;
        let pid = app.process().pid.to_string();
        assert_eq!((reply.header("x-version"), reply.header("X-Pid")), (Some("1.2.3"), Some(pid.as_str())));
        assert_eq!((reply.status, reply.text().as_str()), (200, "1.2.3"));
    }
    Ok(())
}

#[tokio::test]
async fn it_takes_its_time_and_fails_its_share() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let behaviour = Behaviour { request_ms: 20, boot_ms: 200, fails_percent: 30, ..Behaviour::of("1") };
    let begun = Instant::now();
    let _app = App::start(&directory, &address, &behaviour).await?;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let (begun, mut failed) = (Instant::now(), 0);
    for _ in 0..100 {
        failed += u32::from(status(&address).await? == 500);
    }
    assert_eq!(failed, 30);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn it_crashes_at_boot() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let behaviour = Behaviour { crash_at_boot: true, ..Behaviour::of("1") };
    let error = App::start(&directory, &address, &behaviour).await.unwrap_err();
    assert!(error.to_string().contains("told to crash at boot"), "{error}");
    Ok(())
}

#[tokio::test]
async fn it_runs_and_listens_nowhere_or_elsewhere() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let elsewhere = Address::Unix(directory.path().join("web.sock.wrong"));
    let never = Behaviour { never_ready: true, ..Behaviour::of("never") };
    let wrong = Behaviour { wrong_address: true, ..Behaviour::of("wrong") };
    let apps = [never, wrong].map(|behaviour| App::spawn(&directory, &address, &behaviour).unwrap());
    let answered = until("it listens elsewhere", async || Ok(status(&elsewhere).await.ok())).await?;
    assert_eq!(answered, 200);
    assert!(status(&address).await.is_err());
    assert!(apps.iter().all(|app| app.process().runs()));
    Ok(())
}

#[tokio::test]
async fn it_dies_when_it_was_told_to() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let behaviour = Behaviour { dies_after_ms: 1000, ..Behaviour::of("1") };
    let app = App::start(&directory, &address, &behaviour).await?;
    until("it is dead", async || Ok((!app.process().runs()).then_some(()))).await
}

#[tokio::test]
async fn it_finishes_what_is_under_way_when_it_is_asked_to_end() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let app = App::start(&directory, &address, &Behaviour { request_ms: 1000, ..Behaviour::of("1") }).await?;
    let under_way = tokio::spawn({
        let address = address.clone();
        async move { status(&address).await }
    });
    until("the request is there", async || Ok((app.under_way().await? == 1).then_some(()))).await?;
    app.process().signal(Signal::TERM);
    until("it accepts no more", async || Ok(status(&address).await.is_err().then_some(()))).await?;
    assert_eq!(under_way.await??, 200);
    until("it has ended", async || Ok((!app.process().runs()).then_some(()))).await
}

#[tokio::test]
async fn it_ignores_signals_and_is_killed_in_the_end() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let behaviour = Behaviour { ignores_signals: true, ..Behaviour::of("1") };
    let app = App::start(&directory, &address, &behaviour).await?;
    let process = app.process();
    for signal in [Signal::INT, Signal::TERM] {
        process.signal(signal);
        assert_eq!(status(&address).await?, 200);
    }
    app.end()?;
    assert!(!process.runs());
    Ok(())
}

#[tokio::test]
async fn the_kernel_shows_its_open_connections() -> Outside<()> {
    let directory = Directory::new()?;
    let path = directory.path().join("web.sock");
    let app = App::start(&directory, &Address::Unix(path.clone()), &Behaviour::of("1")).await?;
    let count = async |wanted| Ok((flow_proving::table::connections(&path)? == wanted).then_some(()));
    let held = tokio::net::UnixStream::connect(&path).await?;
    until("one connection is open", async || count(1).await).await?;
    drop(held);
    until("none is open", async || count(0).await).await?;
    assert!(app.process().runs());
    Ok(())
}

#[tokio::test]
async fn it_holds_a_request_until_it_is_released() -> Outside<()> {
    let directory = Directory::new()?;
    let address = Address::Unix(directory.path().join("web.sock"));
    let app = App::start(&directory, &address, &Behaviour::of("1")).await?;
    let held = tokio::spawn({
        let address = address.clone();
        async move { exchange(&address, &Request::get("/hold")).await }
    });
    until("it is held", async || Ok((app.under_way().await? == 1).then_some(()))).await?;
    assert!(!held.is_finished());
    app.release().await?;
    assert_eq!(held.await??.text(), "1");
    assert_eq!(app.under_way().await?, 0);
    Ok(())
}
