use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Cause, ErrorKind, Name};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::process::ProxyProcess;
use super::protocol::{Answer, Request, Response, read_line, to_line};
use super::switch::Switch;

/// How many controllers are listened to at once.
const CONTROLLERS_MAX: usize = 16;
/// How long a controller may take for a request or for reading the response.
const PATIENCE: Duration = Duration::from_secs(10);

/// The proxy's side of the control socket.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) service: Name,
    pub(super) listen: SocketAddr,
    pub(super) process: ProxyProcess,
    pub(super) switch: Arc<Switch>,
    /// Cancelled by a request to stop.
    pub(super) stop: CancelToken,
}

impl Control {
    /// Answers controllers for as long as it is polled.
    pub(super) async fn serve(self: Arc<Self>, listener: UnixListener) {
        let places = Arc::new(Semaphore::new(CONTROLLERS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let this = Arc::clone(&self);
                    tokio::spawn(async move {
                        this.converse(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a controller could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn converse(&self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        while let Ok(read) = tokio::time::timeout(PATIENCE, read_line(&mut reader)).await {
            let (answer, goes_on) = match read {
                Ok(None) => return,
                Ok(Some(line)) => (self.answer(&line).await, true),
                // Where the next request begins is unknown, so this was the last one.
                Err(error) => (refused(&error), false),
            };
            let response = Response { generation: self.switch.generation(), answer };
            let Ok(line) = to_line(&response) else { return };
            let written = tokio::time::timeout(PATIENCE, writer.write_all(&line)).await;
            if !goes_on || !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn answer(&self, line: &[u8]) -> Answer {
        let request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => return refused(&error),
        };
        match request {
            Request::Ping {} => Answer::Running {
                service: self.service.clone(),
                listen: self.listen,
                process: self.process.clone(),
            },
            Request::Routing {} => Answer::Routing(self.switch.routing().1),
            Request::Route { service, routing } => {
                match Arc::clone(&self.switch).change(&service, routing).await {
                    Ok(()) => Answer::Routed,
                    Err(cause) => Answer::Refused(cause),
                }
            }
            Request::InFlight {} => Answer::InFlight(self.switch.in_flight()),
            Request::Sample { version } => Answer::Sample(self.switch.sample(&version)),
            Request::Stop {} => {
                self.stop.cancel();
                Answer::Stopping
            }
        }
    }
}

fn refused(problem: &dyn std::fmt::Display) -> Answer {
    Answer::Refused(Cause::new(ErrorKind::Invalid, format!("the request is not understood: {problem}")))
}
