//! The control protocol: one JSON object a line, one response a request, in order.

use std::io;
use std::net::SocketAddr;

use flow_core::port::{InFlight, Routing, Sample};
use flow_core::{Cause, Name};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::process::ProxyProcess;

/// The longest line of either side, its end included.
pub(super) const LINE_MAX: usize = 256 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    Ping {},
    Routing {},
    Route { service: Name, routing: Routing },
    InFlight {},
    Sample { version: Name },
    Stop {},
}

impl Request {
    /// Whether it changes something, so that without an answer nobody knows how far it came.
    pub(super) const fn changes(&self) -> bool {
        matches!(self, Self::Route { .. } | Self::Stop {})
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    /// How often the routing has changed, when this was answered.
    pub(super) generation: u64,
    pub(super) answer: Answer,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Running { service: Name, listen: SocketAddr, process: ProxyProcess },
    Routing(Routing),
    Routed,
    InFlight(InFlight),
    Sample(Option<Sample>),
    Stopping,
    Refused(Cause),
}

/// The next line without its end; none where the other side has ended.
///
/// # Errors
/// [`InvalidData`](io::ErrorKind::InvalidData) for a line that is too long or breaks off.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(LINE_MAX as u64).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() + 1 >= LINE_MAX => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {LINE_MAX} bytes")))
        }
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a line breaks off")),
    }
}

/// `message` as a line.
pub(super) fn to_line(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
