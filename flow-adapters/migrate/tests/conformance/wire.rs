//! A way to a server that stops at one request, so that whoever waits for its answer can be killed there.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_proving::Port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Where the way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The request does not reach the server.
    Before,
    /// The server has answered, and nobody hears it.
    After,
}

/// Every connection of one client, whose requests are counted together.
pub(crate) struct Wire {
    port: Port,
    requests: Arc<Requests>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Requests {
    seen: AtomicUsize,
    stop: Option<(usize, End)>,
    stopped: Notify,
}

impl Wire {
    /// A way to `server`, a port of this machine, that ends at the request with this number, counted from one.
    pub(crate) async fn to(server: u16, stop: Option<(usize, End)>) -> Self {
        let port = Port::free().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).await.unwrap();
        let requests = Arc::new(Requests { stop, ..Requests::default() });
        let counting = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                connections.spawn(Arc::clone(&counting).pass_on(client, server));
            }
        });
        Self { port, requests, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn seen(&self) -> usize {
        self.requests.seen.load(Ordering::Relaxed)
    }

    /// Waits until the way has ended.
    pub(crate) async fn stopped(&self) {
        self.requests.stopped.notified().await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Requests {
    /// A client waits for each answer before it asks again, so what it sends at once is a request.
    async fn pass_on(self: Arc<Self>, mut client: TcpStream, mut server: TcpStream) {
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(read @ 1..) = read else { return };
                    let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
                    let end = self.stop.filter(|(at, _)| *at == number).map(|(_, end)| end);
                    if end != Some(End::Before) && server.write_all(&asked[..read]).await.is_err() {
                        return;
                    }
                    if end == Some(End::After) {
                        let _ = server.read(&mut answered).await;
                    }
                    if end.is_some() {
                        self.stopped.notify_one();
                        // Both connections stay open until the wire goes.
                        std::future::pending::<()>().await;
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(read @ 1..) = read else { return };
                    if client.write_all(&answered[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
