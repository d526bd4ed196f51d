//! Sockets of the machine, dialled here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use flow_core::ErrorKind;
use flow_core::port::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::machine::{Machine, shell};

/// A server on the machine that answers with what it was told, and sends 64 MiB to whoever says `flood`.
fn serve(path: &Path) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.into_split();
                let mut bytes = vec![0; 64 << 10];
                while let Ok(length @ 1..) = from.read(&mut bytes).await {
                    let times = if bytes.starts_with(b"flood") { 1024 } else { 0 };
                    for _ in 0..times {
                        if to.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    if to.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

async fn ask(stream: &mut UnixStream, text: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; text.len()];
    let (mut from, mut to) = stream.split();
    let (sent, read) = tokio::join!(to.write_all(text), from.read_exact(&mut answer));
    sent.unwrap();
    read.unwrap();
    answer
}

/// All that still comes, which must end in time.
async fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
    // A connection that was closed with something unread is reset.
    let _ = read.expect("its client waits on");
    rest
}

#[tokio::test]
async fn a_forwarded_socket_carries_requests_and_answers_both_ways() {
    let machine = Machine::start().await;
    let _server = serve(&machine.at("server"));
    let forward = machine.host.forward(&machine.mark("server")).await.unwrap();
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = UnixStream::connect(forward.path()).await.unwrap();
        let text = format!("hello {number}\n");
        assert_eq!(ask(&mut client, text.as_bytes()).await, text.as_bytes());
        clients.push(client);
    }
    let large: Vec<u8> = (0..3_u32 << 20).map(|number| number.to_le_bytes()[1]).collect();
    assert!(ask(&mut clients[3], &large).await == large);
    // Who says that it has said all is answered to the end.
    let mut last = clients.pop().unwrap();
    last.write_all(b"last").await.unwrap();
    last.shutdown().await.unwrap();
    assert_eq!(rest(&mut last).await, b"last");
}

#[tokio::test]
async fn a_forward_is_private_and_leaves_nothing_when_it_is_dropped() {
    let machine = Machine::start().await;
    let _server = serve(&machine.at("server"));
    let forward = machine.host.forward(&machine.mark("server")).await.unwrap();
    let directory = forward.path().parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(directory.starts_with(machine.at("sockets")));
    let mut client = UnixStream::connect(forward.path()).await.unwrap();
    assert_eq!(ask(&mut client, b"x").await, b"x");
    drop(forward);
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(fs::read_dir(machine.at("sockets")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_lost_connection_ends_its_clients_and_the_next_one_has_a_new_one() {
    let machine = Machine::start().await;
    let _server = serve(&machine.at("server"));
    let forward = machine.host.forward(&machine.mark("server")).await.unwrap();
    let mut client = UnixStream::connect(forward.path()).await.unwrap();
    assert_eq!(ask(&mut client, b"x").await, b"x");
    machine.relay.cut();
    assert_eq!(rest(&mut client).await, b"");
    let mut next = UnixStream::connect(forward.path()).await.unwrap();
    assert_eq!(ask(&mut next, b"y").await, b"y");
}

#[tokio::test]
async fn an_absent_and_a_stale_socket_and_what_is_none_are_told_apart() {
    let machine = Machine::start().await;
    let server = serve(&machine.at("stale"));
    server.abort();
    let _ = server.await;
    fs::write(machine.at("file"), "x").unwrap();
    for (path, kind) in [
        (machine.mark("none"), ErrorKind::NotFound),
        (machine.mark("file"), ErrorKind::Conflict),
        (machine.mark("stale"), ErrorKind::Unavailable),
        ("relative".to_owned(), ErrorKind::Invalid),
        (machine.mark(&"x".repeat(200)), ErrorKind::Invalid),
    ] {
        let refused = machine.host.forward(&path).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{path}: {refused}");
    }
    assert_eq!(fs::read_dir(machine.at("sockets")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_else_and_is_closed_in_the_end() {
    let machine = Machine::start().await;
    let _server = serve(&machine.at("server"));
    let forward = machine.host.forward(&machine.mark("server")).await.unwrap();
    let mut lazy = UnixStream::connect(forward.path()).await.unwrap();
    lazy.write_all(b"flood").await.unwrap();
    let mut busy = UnixStream::connect(forward.path()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&mut busy, b"x").await, b"x");
        assert!(machine.host.query(&shell(":")).await.unwrap().succeeded());
    }
    assert!(rest(&mut lazy).await.len() < 32 << 20, "it was owed all");
}
