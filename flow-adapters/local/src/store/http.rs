//! One bounded HTTP/1.1 exchange over TCP.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use flow_core::Clock;
use futures::future::{Either, select};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An `http` URL, taken apart. It has no `Debug`: its path and query may be secret.
#[derive(Clone)]
pub(super) struct Url {
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// Reads an absolute `http` URL without user information. The answer to a bad one says what is wrong and shows
    /// nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("must be `http`: this adapter speaks no TLS"),
            _ => return Err("must begin with `http://`"),
        }
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold user information");
        }
        let host = authority.host();
        if host.is_empty() {
            return Err("names no host");
        }
        // `Authority::port` is silent about a port that is no number or too large.
        let port = match authority.as_str().strip_prefix(host).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => port.parse().map_err(|_| "names a port that is none")?,
            None => 80,
        };
        let target = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, target })
    }

    /// The scheme, the host and the port: what may be shown of any URL.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.authority())
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The URL with another path and query.
    pub(super) fn with_target(&self, target: String) -> Self {
        Self { target, ..self.clone() }
    }

    /// A request for it, which asks to close the connection afterwards.
    pub(super) fn request(&self, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        Request::builder()
            .method(method)
            .uri(&self.target)
            .header(HOST, self.authority())
            .header(USER_AGENT, HeaderValue::from_static("flow"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .body(Full::new(body))
            .map_err(Failure::Unsendable)
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
    /// From sending the request to the last byte of the body.
    pub(super) elapsed: Duration,
}

/// Why nothing whole came back. No text in it shows the URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the request cannot be formed")]
    Unsendable(#[source] hyper::http::Error),
    #[error("no connection came about")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no whole answer came within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the connection broke before the answer was whole")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends `request` to the URL's host and reads at most `limit` bytes of answer, all within `timeout`.
pub(super) async fn exchange(
    clock: &dyn Clock,
    timeout: Duration,
    url: &Url,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Reply, Failure> {
    let answer = pin!(talk(clock, url, request, limit));
    match select(answer, clock.sleep(timeout)).await {
        Either::Left((reply, _)) => reply,
        Either::Right(((), _)) => Err(Failure::TimedOut(timeout)),
    }
}

async fn talk(
    clock: &dyn Clock,
    url: &Url,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Reply, Failure> {
    let stream = connect(url).await.map_err(|error| Failure::Unreachable(error.into()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Unreachable(error.into()))?;
    let begun = clock.monotonic();
    let answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| Failure::Broken(error.into()))?;
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { Failure::TooLarge(limit) } else { Failure::Broken(error) }
        })?;
        let elapsed = clock.monotonic().saturating_sub(begun);
        Ok(Reply { status, headers, body: body.to_bytes(), elapsed })
    });
    // The connection is driven here, not in a task of its own: it ends with this exchange, whatever ends that.
    match select(answer, pin!(connection)).await {
        Either::Left((reply, _)) => reply,
        Either::Right((_, answer)) => answer.await,
    }
}

/// The headers of a response: a value that is no text is shown as far as it is.
fn headers<B>(response: &Response<B>) -> BTreeMap<String, String> {
    let names = response.headers().keys();
    let values = |name: &HeaderName| {
        let values = response.headers().get_all(name).into_iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    names.map(|name| (name.as_str().to_owned(), values(name))).collect()
}

/// Connects to the URL's host and port.
pub(super) async fn connect(url: &Url) -> io::Result<TcpStream> {
    TcpStream::connect((url.host(), url.port())).await
}
