//! The one port: what a request is for, the faults on its way, and the log.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use flow_core::Clock;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::envelope::{self, ApiError};
use super::faults::Strike;
use super::log::Logged;
use super::request::Request;
use super::spelling::Spelled;
use super::world::Cloud;
use super::{cdn, control, cos, scf};

type Body = UnsyncBoxBody<Bytes, Dropped>;

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// For the log: `ok` or the error's code.
    pub(super) result: String,
}

impl Reply {
    pub(super) fn new(status: u16, kind: &str, body: impl Into<Bytes>, result: &str) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.into(), result: result.to_owned() }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The connection ends here, without an answer or in its middle.
#[derive(Debug, Error)]
#[error("the connection is dropped")]
struct Dropped;

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Api,
    Code,
    Edge,
    Storage,
}

/// Answers until it is aborted.
pub(super) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, Arc::clone(&cloud)));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn converse(stream: TcpStream, cloud: Arc<Cloud>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| dated(Arc::clone(&cloud), request));
    // A connection that ends early is the client's own affair, or a fault that was asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(Spelled(stream)), service)
        .await;
}

/// Every answer tells the cloud's time, which signatures are compared with.
async fn dated(cloud: Arc<Cloud>, request: hyper::Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let mut response = answer(&cloud, request).await?;
    let now = cloud.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(now) = HeaderValue::try_from(now) {
        response.headers_mut().insert(DATE, now);
    }
    Ok(response)
}

async fn answer(cloud: &Arc<Cloud>, request: hyper::Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let request = read(request).await?;
    let code = request.method == "GET" && request.path.starts_with(scf::DOWNLOADS);
    if let Some(command) = request.path.strip_prefix("/__fake__/").filter(|_| !code) {
        return Ok(whole(controlled(cloud, &request, command)));
    }
    let part = part(cloud, &request);
    let (service, action, subject) = name(cloud, part, &request);
    let id = cloud.with(|world| world.chance.uuid());
    let strike = cloud.with(|world| world.faults.strike(&service, &action));
    let log = |result: &str| {
        let entry = Logged {
            service: service.clone(),
            action: action.clone(),
            result: result.to_owned(),
            subject: subject.clone(),
            fault: strike.as_ref().map(Strike::kind).unwrap_or_default().to_owned(),
            id: id.clone(),
        };
        cloud.with(|world| world.log.push(entry));
    };
    let head = request.method == "HEAD";
    let reply = match &strike {
        Some(Strike::Drop) => {
            log("drop");
            return Err(Dropped);
        }
        Some(Strike::Http(status)) => {
            let page = format!("<html><body><h1>{status}</h1></body></html>");
            Reply::new(*status, "text/html", page, &format!("http {status}"))
        }
        Some(Strike::Error { code, message, status }) => {
            refusal(part, code, message.as_deref().unwrap_or("a fault that was asked for"), *status, &id)
        }
        _ if cloud.with(|world| world.is_too_fast(&service, &action)) => match part {
            Part::Api => refusal(part, "RequestLimitExceeded", "too many requests a second", None, &id),
            _ => refusal(part, "SlowDown", "too many requests a second", None, &id),
        },
        other => {
            if let Some(Strike::Delay(delay)) = other {
                tokio::time::sleep(*delay).await;
            }
            carry_out(cloud, part, &request, &id).await
        }
    };
    log(&reply.result);
    match strike {
        Some(Strike::DropAfter) => Err(Dropped),
        Some(Strike::Truncate) => Ok(halved(reply)),
        _ if head => Ok(headed(reply)),
        _ => Ok(whole(reply)),
    }
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, Dropped> {
    let (parts, body) = request.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let query = parts.uri.query().unwrap_or_default();
    let mut request = Request::new(parts.method.as_str(), parts.uri.path(), query);
    request.headers = headers;
    request.authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    request.body = body;
    Ok(request)
}

fn part(cloud: &Cloud, request: &Request) -> Part {
    if matches!(request.method.as_str(), "POST" | "GET") && request.header("x-tc-action").is_some() {
        Part::Api
    } else if request.path.starts_with(scf::DOWNLOADS) {
        Part::Code
    } else if cloud.with(|world| world.cdn.has(&request.host())) {
        Part::Edge
    } else {
        Part::Storage
    }
}

fn name(cloud: &Cloud, part: Part, request: &Request) -> (String, String, String) {
    match part {
        Part::Api => {
            let (service, action) = envelope::action_of(request);
            (service, action, envelope::subject(request))
        }
        Part::Code => ("code".to_owned(), request.method.clone(), request.path.clone()),
        Part::Edge => {
            ("edge".to_owned(), request.method.clone(), format!("{}{}", request.host(), request.path))
        }
        Part::Storage => {
            let (action, subject) = cos::name(request, &cloud.default_bucket());
            ("cos".to_owned(), action, subject)
        }
    }
}

async fn carry_out(cloud: &Arc<Cloud>, part: Part, request: &Request, id: &str) -> Reply {
    match part {
        Part::Api => {
            let answer = call(cloud, request).await;
            let result = answer.as_ref().err().map_or("ok", |error| error.code.as_str());
            Reply::new(200, "application/json", envelope::body(&answer, id), result)
        }
        Part::Code => download(cloud, &request.path),
        Part::Edge => cloud.with(|world| cdn::fetch(world, request)),
        Part::Storage => cos::answer(cloud, request, id),
    }
}

/// A function's own code may take its time, and may call the cloud: it gets a thread.
async fn call(cloud: &Arc<Cloud>, request: &Request) -> envelope::Answer {
    if !matches!(request.header("x-tc-action"), Some("Invoke" | "InvokeFunction")) {
        return envelope::call(cloud, request);
    }
    let (cloud, request) = (Arc::clone(cloud), request.clone());
    let ended = tokio::task::spawn_blocking(move || envelope::call(&cloud, &request)).await;
    ended.unwrap_or_else(|error| {
        Err(ApiError::new("InternalError", format!("the function's code ended: {error}")))
    })
}

/// The zip of a function's code; the address holds for as long as a version has it.
fn download(cloud: &Cloud, path: &str) -> Reply {
    let sha256 = path.strip_prefix(scf::DOWNLOADS).and_then(|name| name.strip_suffix(".zip"));
    match sha256.and_then(|sha256| cloud.with(|world| world.functions.code(sha256))) {
        Some(code) => Reply::new(200, "application/zip", code, "ok"),
        None => Reply::new(404, "text/plain", "no version has this code", "http 404"),
    }
}

fn refusal(part: Part, code: &str, message: &str, status: Option<u16>, id: &str) -> Reply {
    let mut reply = match part {
        Part::Api => {
            let answer = Err(ApiError::new(code, message));
            Reply::new(200, "application/json", envelope::body(&answer, id), code)
        }
        _ => cos::refusal(&cos::CosError::new(code, message), "/", id),
    };
    reply.status = status.unwrap_or(reply.status);
    reply
}

fn controlled(cloud: &Cloud, request: &Request, command: &str) -> Reply {
    if request.method != "POST" {
        return Reply::new(405, "text/plain", "control is by POST", "");
    }
    match control::control(cloud, command, &request.body) {
        Ok(answer) => Reply::new(200, "application/json", answer.to_string(), ""),
        Err(problem) => Reply::new(400, "text/plain", problem, ""),
    }
}

fn whole(reply: Reply) -> Response<Body> {
    let body = Full::new(reply.body.clone()).map_err(|never: Infallible| match never {}).boxed_unsync();
    respond(reply, body)
}

/// An answer to `HEAD`: the body's length alone.
fn headed(reply: Reply) -> Response<Body> {
    let length = reply.headers.iter().any(|(name, _)| name == "content-length");
    let reply = if length {
        reply
    } else {
        let length = reply.body.len().to_string();
        reply.with("content-length", length)
    };
    let body = Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed_unsync();
    respond(reply, body)
}

/// The whole length told, and half of it sent.
fn halved(reply: Reply) -> Response<Body> {
    let (length, half) = (reply.body.len(), reply.body.slice(..reply.body.len() / 2));
    let first = stream::once(async move { Ok::<_, Dropped>(Frame::data(half)) });
    // Between the two the first half is written.
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err::<Frame<Bytes>, _>(Dropped)
    });
    let mut response = respond(reply, StreamBody::new(first.chain(end)).boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn respond(reply: Reply, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
