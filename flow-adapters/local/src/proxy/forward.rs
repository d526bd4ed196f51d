use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::body::Download;
use super::config::Limits;
use super::counts::Pending;
use super::endpoint::{Connection, Endpoint, SendError, Upload};
use super::headers::{self, X_FLOW_VERSION};
use super::switch::{Place, Switch};

/// The body of a response: an upstream's, or the proxy's own few words.
pub(super) type Reply = Response<Either<Download, Full<Bytes>>>;

/// Answers one request of a client.
pub(super) async fn forward(
    switch: Arc<Switch>,
    limits: Arc<Limits>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let (mut parts, body) = request.into_parts();
    if let Err(status) = headers::for_upstream(&mut parts, peer) {
        return Ok(own_words(status, "the request cannot be passed on"));
    }
    let Some(place) = switch.enter() else {
        return Ok(own_words(StatusCode::SERVICE_UNAVAILABLE, "nothing is routed"));
    };
    let version = Arc::clone(&place.version);
    let pending = Pending::new(&version.tally);
    let exchange = exchange(place, &limits, Outgoing::new(parts, body));
    let outcome = tokio::time::timeout(limits.response_timeout, exchange).await;
    let mut reply = match outcome.unwrap_or(Err(Unanswered::Late)) {
        Ok(response) => response.map(Either::Left),
        Err(unanswered) => {
            tracing::warn!(version = %version.name, error = %unanswered, "a request was not answered");
            unanswered.reply()
        }
    };
    pending.answered(reply.status());
    reply.headers_mut().insert(X_FLOW_VERSION, version.header.clone());
    Ok(reply)
}

/// Sends the request to one address of its version, the next one where one cannot be connected to.
async fn exchange(
    mut place: Place,
    limits: &Limits,
    mut outgoing: Outgoing,
) -> Result<Response<Download>, Unanswered> {
    let mut refused = None;
    for endpoint in std::mem::take(&mut place.endpoints) {
        place.flight.move_to(&endpoint.text);
        if let Some(answer) = over_kept(&endpoint, limits, &outgoing).await {
            return place.finish(endpoint, answer);
        }
        match endpoint.connect(limits).await {
            Ok(mut connection) => {
                let response = connection.send(outgoing.take()).await.map_err(Unanswered::Broken)?;
                return place.finish(endpoint, Answer { response, connection });
            }
            Err(error) => refused = Some(error.to_string()),
        }
    }
    Err(Unanswered::Unreachable(refused.unwrap_or_default()))
}

/// Tries an idle connection. The upstream may close it at the very moment it is used, and then nobody can tell whether
/// the request was read; so only requests that may be sent twice (RFC 9110, section 9.2.2) go this way at all.
async fn over_kept(endpoint: &Endpoint, limits: &Limits, outgoing: &Outgoing) -> Option<Answer> {
    let request = outgoing.copy()?;
    let mut connection = endpoint.take_kept(limits)?;
    match connection.send(request).await {
        Ok(response) => Some(Answer { response, connection }),
        Err(error) => {
            tracing::debug!(%error, "a kept connection was stale");
            None
        }
    }
}

struct Answer {
    response: Response<Incoming>,
    connection: Connection,
}

impl Place {
    fn finish(self, endpoint: Arc<Endpoint>, answer: Answer) -> Result<Response<Download>, Unanswered> {
        let (mut parts, body) = answer.response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Unanswered::Upgraded);
        }
        headers::remove_hop_headers(&mut parts.headers);
        let tally = Arc::clone(&self.version.tally);
        Ok(Response::from_parts(parts, Download::new(body, answer.connection, endpoint, tally, self.flight)))
    }
}

/// A request on its way to an upstream.
struct Outgoing {
    parts: Parts,
    /// The client's body, as long as it was not sent. None for a request that may be sent twice.
    body: Option<Incoming>,
}

impl Outgoing {
    fn new(parts: Parts, body: Incoming) -> Self {
        let harmless = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let body = (!harmless || !body.is_end_stream()).then_some(body);
        Self { parts, body }
    }

    fn copy(&self) -> Option<Request<Upload>> {
        let repeatable = self.body.is_none();
        repeatable.then(|| Request::from_parts(self.parts.clone(), Either::Right(Empty::new())))
    }

    fn take(&mut self) -> Request<Upload> {
        let body = self.body.take().map_or_else(|| Either::Right(Empty::new()), Either::Left);
        Request::from_parts(self.parts.clone(), body)
    }
}

/// Why a version gave no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no address of the version can be connected to: {0}")]
    Unreachable(String),
    #[error("the connection broke before the response: {0}")]
    Broken(SendError),
    #[error("no response in time")]
    Late,
    #[error("the response switches protocols, which was not asked for")]
    Upgraded,
}

impl Unanswered {
    fn reply(&self) -> Reply {
        match self {
            Self::Late => own_words(StatusCode::GATEWAY_TIMEOUT, "the version did not answer in time"),
            _ => own_words(StatusCode::BAD_GATEWAY, "the version did not answer"),
        }
    }
}

fn own_words(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Either::Right(Full::from(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}
