use std::pin::pin;

use bytes::Bytes;
use flow_core::Clock;
use flow_core::port::{Health, HealthCheck};
use futures::future::{Either, select};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Asks the process at `address` once, on a connection of its own.
pub(super) async fn ask(clock: &dyn Clock, address: &str, check: &HealthCheck) -> Health {
    let reason = match select(pin!(request(address, &check.path)), clock.sleep(check.timeout)).await {
        Either::Left((Ok(status), _)) if status.is_success() => return Health::Healthy,
        Either::Left((Ok(status), _)) => format!("it answered `{}`", status.as_u16()),
        Either::Left((Err(error), _)) => chain(error.as_ref()),
        Either::Right(_) => format!("no answer within {:?}", check.timeout),
    };
    Health::Unhealthy { reason }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

async fn request(address: &str, path: &str) -> Result<StatusCode, Cause> {
    match address.strip_prefix("unix:") {
        Some(socket) => get(UnixStream::connect(socket).await?, path).await,
        None => get(TcpStream::connect(address).await?, path).await,
    }
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<StatusCode, Cause> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", "localhost")
        .header("user-agent", "flow-local")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let reply = pin!(sender.send_request(request));
    // The connection may end in the same moment as the answer comes.
    let reply = match select(reply, pin!(connection)).await {
        Either::Left((reply, _)) => reply,
        Either::Right((_, reply)) => reply.await,
    };
    Ok(reply?.status())
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
