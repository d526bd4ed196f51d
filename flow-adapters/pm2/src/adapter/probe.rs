use std::pin::pin;

use bytes::Bytes;
use flow_core::Clock;
use flow_core::port::HealthCheck;
use futures::future::{Either, select};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Asks whoever listens at `address` once, on a connection of its own.
///
/// # Errors
/// What spoke against a good answer, for people.
pub(crate) async fn ask(clock: &dyn Clock, address: &str, check: &HealthCheck) -> Result<(), String> {
    match select(pin!(request(address, &check.path)), clock.sleep(check.timeout)).await {
        Either::Left((Ok(status), _)) if status.is_success() => Ok(()),
        Either::Left((Ok(status), _)) => Err(format!("it answered `{}`", status.as_u16())),
        Either::Left((Err(error), _)) => Err(format!("it did not answer: {error}")),
        Either::Right(_) => Err(format!("no answer within {:?}", check.timeout)),
    }
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
        .header("user-agent", "flow-pm2")
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
