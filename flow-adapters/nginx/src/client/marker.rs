//! The generation that our block says is in force.

use std::net::SocketAddr;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long nginx may take to say it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What answers at the marker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marker {
    /// Our block, of this generation.
    Generation(String),
    /// Somebody else.
    Foreign,
    /// Nobody.
    Silent,
}

/// Asks on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, clock: &dyn Clock) -> Result<Marker, StepError> {
    tokio::select! {
        answer = answer(address) => answer.map_err(|error| {
            let error = StepError::new(ErrorKind::Unavailable, "the marker does not answer").because(error);
            error.fact("address", address)
        }),
        () = clock.sleep(PATIENCE) => {
            Err(StepError::new(ErrorKind::Unavailable, "the marker does not answer in time").fact("address", address))
        }
    }
}

async fn answer(address: SocketAddr) -> std::io::Result<Marker> {
    let mut stream = match TcpStream::connect(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(Marker::Silent),
        stream => stream?,
    };
    stream.write_all(b"GET / HTTP/1.0\r\nHost: flow\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer
        .strip_prefix("HTTP/1.1 200 ")
        .and_then(|rest| rest.split_once("\r\n\r\n"))
        .map(|(_, body)| body);
    let is_generation = |body: &&str| body.len() == 64 && body.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(body.filter(is_generation).map_or(Marker::Foreign, |body| Marker::Generation(body.to_owned())))
}
