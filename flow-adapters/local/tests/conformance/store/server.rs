//! A small HTTP server that remembers what it was asked.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Answers every request with what `answer` says: a status and a body, or nothing, for ever. A redirect leads where its
    /// body says.
    pub(crate) async fn start(
        answer: impl Fn(&Asked) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
    ) -> Self {
        Self::start_on(listen().await, answer)
    }

    /// As [`start`](Self::start), on a given listener.
    pub(crate) fn start_on(
        listener: TcpListener,
        answer: impl Fn(&Asked) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (memory, answer) = (Arc::clone(&asked), Arc::new(answer));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (memory, answer) = (Arc::clone(&memory), Arc::clone(&answer));
                let service = service_fn(move |request| {
                    let (memory, answer) = (Arc::clone(&memory), Arc::clone(&answer));
                    async move {
                        let asked = read(request).await;
                        memory.lock().unwrap().push(asked.clone());
                        let Some((status, body)) = answer(&asked) else {
                            return std::future::pending().await;
                        };
                        let leads =
                            HeaderValue::from_bytes(&body).ok().filter(|_| (300..400).contains(&status));
                        let mut response = Response::new(Full::new(Bytes::from(body)));
                        response.headers_mut().extend(leads.map(|leads| (LOCATION, leads)));
                        *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, asked, accepting }
    }

    /// Stops listening, and says what was asked until then.
    pub(crate) async fn stop(mut self) -> Vec<Asked> {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        self.asked()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn read(request: Request<Incoming>) -> Asked {
    let (parts, body) = request.into_parts();
    Asked {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// A listener on a free loopback port below the ephemeral range.
pub(crate) async fn listen() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 11_999;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
}

/// A server that accepts one connection after another and drops each as soon as its first byte is there.
pub(crate) async fn hang_up() -> (SocketAddr, JoinHandle<()>) {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
        }
    });
    (address, accepting)
}
