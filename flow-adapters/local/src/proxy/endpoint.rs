use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::address::Address;
use super::config::Limits;

/// How many idle connections to one address are kept.
const KEPT_MAX: usize = 64;

/// The body of a request on its way to an upstream: the client's, or none.
pub(super) type Upload = Either<Incoming, Empty<Bytes>>;

/// One address of a version, with its idle connections.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) text: Arc<str>,
    pub(super) address: Address,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    idle: Vec<(Connection, Instant)>,
    retired: bool,
}

impl Endpoint {
    pub(super) fn new(text: &str, address: Address) -> Self {
        Self { text: text.into(), address, kept: Mutex::default() }
    }

    pub(super) async fn connect(&self, limits: &Limits) -> Result<Connection, ConnectError> {
        let shape = Shape { max_headers: limits.max_headers, max_head_bytes: limits.max_head_bytes };
        self.address.connect(limits.connect_timeout, shape).await
    }

    /// The connection that was used last and is still usable, as far as one can tell.
    pub(super) fn take_kept(&self, limits: &Limits) -> Option<Connection> {
        let mut kept = self.lock();
        while let Some((connection, since)) = kept.idle.pop() {
            if since.elapsed() < limits.keep_upstream && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn keep(&self, connection: Connection) {
        let mut kept = self.lock();
        if !kept.retired && kept.idle.len() < KEPT_MAX && !connection.sender.is_closed() {
            kept.idle.push((connection, Instant::now()));
        }
    }

    /// Closes the connections that were idle for too long.
    pub(super) fn prune(&self, keep: Duration) {
        self.lock()
            .idle
            .retain(|(connection, since)| since.elapsed() < keep && !connection.sender.is_closed());
    }

    /// Closes every idle connection and keeps no further one: a process that is asked to end must not wait for us.
    pub(super) fn retire(&self) {
        let mut kept = self.lock();
        kept.retired = true;
        kept.idle.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bounds of what an upstream may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    max_headers: usize,
    max_head_bytes: usize,
}

/// A connection to an upstream. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Upload>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn over<S>(stream: S, shape: Shape) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_headers(shape.max_headers)
            .max_header_size(shape.max_head_bytes)
            .max_buf_size(shape.max_head_bytes)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an upstream ended early");
            }
        });
        Ok(Self { sender, driver })
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(&mut self, request: Request<Upload>) -> Result<Response<Incoming>, SendError> {
        let mut response = pin!(self.sender.send_request(request));
        // A request handed over at the very moment at which the connection ends can be left lying between the two, and
        // as long as the sender lives nobody says so (hyper issue 4122). So the connection's end is watched as well.
        tokio::select! {
            biased;
            response = &mut response => Ok(response?),
            _ = &mut self.driver => match response.now_or_never() {
                Some(response) => Ok(response?),
                None => Err(SendError::LeftLying),
            },
        }
    }
}

/// Why an upstream could not be connected to: nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Why there was no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the connection ended before the request was taken")]
    LeftLying,
}
