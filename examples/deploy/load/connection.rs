use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a user waits for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the proxy says which version answered.
const VERSION: &str = "x-flow-version";

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A whole answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// The version that gave it, if the proxy said so.
        version: Option<Arc<str>>,
    },
    /// None, or a part of one.
    Unanswered(String),
}

impl Reply {
    /// Whether the user got what was asked for.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Answered { status, .. } if status.is_success())
    }

    /// The version that answered.
    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Answered { version: Some(version), .. } => version,
            Self::Answered { version: None, .. } | Self::Unanswered(_) => "none",
        }
    }
}

/// A connection that is kept as long as the other side keeps it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    kept: Option<SendRequest<Empty<Bytes>>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    /// One that is made by the first request.
    pub(crate) const fn to(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    /// Sends one request, once.
    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let unanswered = match timeout(PATIENCE, self.exchange(path)).await {
            Ok(Ok(reply)) => return reply,
            Ok(Err(failure)) => chain(&*failure),
            Err(_) => format!("no whole answer within {PATIENCE:?}"),
        };
        // What is left of the connection belongs to the request that failed.
        self.kept = None;
        Reply::Unanswered(unanswered)
    }

    async fn exchange(&mut self, path: &str) -> Result<Reply, Failure> {
        let mut sender = match self.usable().await {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let request = Request::get(path).header(HOST, self.address.to_string()).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        self.kept = Some(sender);
        let version = head.headers.get(VERSION).map(|version| String::from_utf8_lossy(version.as_bytes()));
        Ok(Reply::Answered { status: head.status, version: version.map(Arc::from) })
    }

    /// The kept connection. That the other side closed it while nothing was asked fails nobody.
    async fn usable(&mut self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut kept = self.kept.take()?;
        kept.ready().await.is_ok().then_some(kept)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, and whoever sends is told of its errors.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
