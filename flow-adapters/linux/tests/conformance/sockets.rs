use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use flow_core::SystemClock;
use flow_linux::{TcpState, UnixState};

use crate::host::both;

#[tokio::test]
async fn connections_are_counted_from_connect_to_close_whatever_link_they_came_through() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("1.0.0.sock"), directory.path().join("current.sock"));
    let listener = UnixListener::bind(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for (way, machine) in both() {
        let clock = SystemClock::new();
        let paths = [path.clone(), link.clone()];
        let count = async || {
            let counted = machine.connections(&paths, &clock).await.unwrap();
            paths.each_ref().map(|path| counted[path])
        };
        assert!(machine.unix_sockets().await.unwrap().is_listening(&path), "{way}");
        assert_eq!(count().await, [0, 0], "{way}");

        let user = UnixStream::connect(&link).unwrap();
        assert_eq!(count().await, [1, 0], "{way}: not accepted yet");
        let (accepted, _) = listener.accept().unwrap();
        let table = machine.unix_sockets().await.unwrap();
        let states: Vec<_> = table.connections(&path).map(|socket| socket.state).collect();
        assert_eq!(states, [UnixState::Connected], "{way}");

        drop(user);
        assert_eq!(count().await, [1, 0], "{way}: the listener's side is still open");
        drop(accepted);
        until("the connection is gone", async || count().await == [0, 0]).await;
    }
}

#[tokio::test]
async fn a_connection_outlives_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.0.0.sock");
    for (way, machine) in both() {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let _user = UnixStream::connect(&path).unwrap();
        let _accepted = listener.accept().unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert!(!machine.unix_sockets().await.unwrap().is_listening(&path), "{way}");
        // One reading of a table that other programs change meanwhile may miss a line; see `Machine::connections`.
        let count = async || machine.unix_sockets().await.unwrap().connections(&path).count();
        until(way, async || count().await == 1).await;
    }
}

#[tokio::test]
async fn tcp_connections_are_counted_at_both_ends() {
    for (way, machine) in both() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else {
                assert!(at.starts_with('['), "{way}: no IPv4");
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert!(machine.tcp_sockets().await.unwrap().is_listening(address), "{way} {at}");
            let user = std::net::TcpStream::connect(address).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let table = machine.tcp_sockets().await.unwrap();
            // Another program's connection may have begun at the same port of its own.
            assert!(table.established_at(address.port()).count() >= 1, "{way} {at}");
            assert_eq!(table.open_to(address).count(), 1, "{way} {at}");

            let state = async || {
                let table = machine.tcp_sockets().await.unwrap();
                table.open_to(address).next().map(|socket| socket.state)
            };
            assert_eq!(state().await, Some(TcpState::Established), "{way} {at}");
            drop(accepted);
            until("it is half closed", async || state().await == Some(TcpState::HalfClosed)).await;
            drop(user);
            until("it is gone", async || state().await.is_none()).await;
        }
    }
}

/// Waits for what must come true: a process that another test starts holds this one's sockets until it has become its program.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..5_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain until {what}");
}
