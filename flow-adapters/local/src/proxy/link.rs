use std::io;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::{Answer, Request, Response, read_line, to_line};
use super::state::StateDir;

/// How long the proxy may take for an answer. Saving a routing waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A controller's side of the control socket: one connection a request, so that nothing outlives a restarted proxy.
#[derive(Debug)]
pub(super) struct Link {
    state: StateDir,
    clock: Arc<dyn Clock>,
}

impl Link {
    pub(super) fn new(state: StateDir, clock: Arc<dyn Clock>) -> Self {
        Self { state, clock }
    }

    /// Asks the proxy.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] where no proxy answers, the proxy's own kind where it refuses, and in doubt where a
    /// request that changes something was sent and no answer came.
    pub(super) async fn ask(&self, request: &Request) -> Result<Response, StepError> {
        let line = to_line(request).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the request cannot be written").because(error)
        })?;
        let stream = UnixStream::connect(self.state.control()).await.map_err(|error| self.absent(error))?;
        let asked = tokio::select! {
            answered = converse(stream, &line) => answered,
            () = self.clock.sleep(PATIENCE) => Err(io::ErrorKind::TimedOut.into()),
        };
        match asked {
            Ok(Response { answer: Answer::Refused(cause), .. }) => {
                Err(StepError::new(cause.kind, "the proxy refused the request").because(cause))
            }
            Ok(response) => Ok(response),
            Err(error) => {
                let error = StepError::new(ErrorKind::Unavailable, "the proxy did not answer")
                    .fact("socket", self.state.control().display())
                    .because(error);
                Err(if request.changes() { error.after_effect() } else { error })
            }
        }
    }

    fn absent(&self, error: io::Error) -> StepError {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        StepError::new(kind, "no proxy is running")
            .fact("socket", self.state.control().display())
            .because(error)
    }
}

async fn converse(stream: UnixStream, line: &[u8]) -> io::Result<Response> {
    let (reader, mut writer) = stream.into_split();
    writer.write_all(line).await?;
    let answer = read_line(&mut BufReader::new(reader)).await?;
    let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(serde_json::from_slice(&answer)?)
}
