use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The longest answer that is read.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

/// HAProxy's runtime socket (management guide, section 9.3), in its one-shot mode: one line of commands for each connection,
/// and the answer ends where HAProxy closes.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Client {
    /// Asks for something that changes nothing.
    ///
    /// # Errors
    /// `Unavailable` where no HAProxy answers or breaks off, `Denied` where the socket may not be used, `TimedOut` in time.
    pub(crate) async fn read(&self, line: &str) -> Result<String, StepError> {
        let stream = self.connect().await?;
        self.converse(stream, line).await
    }

    /// Puts commands that change something.
    ///
    /// # Errors
    /// As [`read`](Self::read) where nothing was sent, else in doubt.
    pub(crate) async fn change(&self, line: &str) -> Result<String, StepError> {
        let stream = self.connect().await?;
        self.converse(stream, line).await.map_err(StepError::after_effect)
    }

    async fn connect(&self) -> Result<UnixStream, StepError> {
        let connected = tokio::select! {
            connected = UnixStream::connect(&self.socket) => connected,
            () = self.clock.sleep(self.timeout) => Err(io::ErrorKind::TimedOut.into()),
        };
        connected.map_err(|error| {
            let (kind, message) = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    (ErrorKind::Denied, "HAProxy's runtime socket may not be used")
                }
                io::ErrorKind::NotFound => (ErrorKind::Unavailable, "there is no runtime socket of HAProxy"),
                io::ErrorKind::ConnectionRefused => {
                    (ErrorKind::Unavailable, "no HAProxy listens at its runtime socket")
                }
                _ => (ErrorKind::Unavailable, "HAProxy's runtime socket cannot be reached"),
            };
            StepError::new(kind, message).fact("socket", self.socket.display()).because(error)
        })
    }

    async fn converse(&self, stream: UnixStream, line: &str) -> Result<String, StepError> {
        let answered = tokio::select! {
            answered = exchange(stream, line) => answered,
            () = self.clock.sleep(self.timeout) => Err(io::ErrorKind::TimedOut.into()),
        };
        answered.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::TimedOut => ErrorKind::TimedOut,
                _ => ErrorKind::Unavailable,
            };
            StepError::new(kind, "HAProxy gave no whole answer")
                .fact("socket", self.socket.display())
                .because(error)
        })
    }
}

async fn exchange(mut stream: UnixStream, line: &str) -> io::Result<String> {
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    // Every answer ends with its line, so what a dying HAProxy sent last is not taken for one.
    if !answer.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}
