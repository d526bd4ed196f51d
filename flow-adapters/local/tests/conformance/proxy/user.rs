//! The users of a proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One keep-alive connection of a user.
pub(crate) struct User(pub(crate) SendRequest<Full<Bytes>>);

pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) version: String,
    pub(crate) body: String,
    pub(crate) response: Response<()>,
}

impl User {
    pub(crate) async fn connect(listen: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(listen).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Seen, hyper::Error> {
        self.send(Request::get(path).header("host", "shop.example").body(Full::default()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Seen, hyper::Error> {
        self.send(Request::post(path).header("host", "shop.example").body(Full::new(body)).unwrap()).await
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Seen, hyper::Error> {
        self.0.ready().await?;
        let (parts, body) = self.0.send_request(request).await?.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
        let version =
            parts.headers.get("x-flow-version").map_or("", |value| value.to_str().unwrap()).to_owned();
        Ok(Seen { status: parts.status, version, body, response: Response::from_parts(parts, ()) })
    }
}

pub(crate) async fn get(listen: SocketAddr, path: &str) -> Seen {
    User::connect(listen).await.get(path).await.unwrap()
}

/// Users that send as fast as they are answered, until they are told to stop or have sent enough.
pub(crate) struct Load {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) users: Vec<tokio::task::JoinHandle<BTreeMap<String, u64>>>,
}

impl Load {
    /// Every fourth request of the second half of the users is a POST.
    pub(crate) fn start(listen: SocketAddr, users: u64, requests_each: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let user = |number: u64| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            tokio::spawn(async move {
                let mut user = User::connect(listen).await;
                let mut answered: BTreeMap<String, u64> = BTreeMap::new();
                for turn in 0..requests_each {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let post = number >= users / 2 && turn % 4 == 0;
                    let seen =
                        if post { user.post("/", Bytes::from("x")).await } else { user.get("/").await };
                    // Counted by what the upstream itself said, so that a wrong header would show.
                    let key = match seen {
                        Ok(seen) if seen.status == 200 && seen.body == seen.version => seen.body,
                        Ok(seen) => format!("failed: {} {} {}", seen.status, seen.version, seen.body),
                        Err(error) => format!("failed: {error:?}"),
                    };
                    *answered.entry(key).or_default() += 1;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                answered
            })
        };
        let users = (0..users).map(user).collect();
        Self { stop, sent, users }
    }

    pub(crate) async fn further(&self, requests: u64) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        while self.sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn stop(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    pub(crate) async fn finish(self) -> BTreeMap<String, u64> {
        let mut answered = BTreeMap::new();
        for user in self.users {
            for (key, count) in user.await.unwrap() {
                *answered.entry(key).or_default() += count;
            }
        }
        answered
    }
}

/// Sends bytes and reads what comes back until the proxy closes or has answered.
pub(crate) async fn raw(listen: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(listen).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}
