//! Commands, watched from their start to the end of all that they started.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::{Command, CommandOutput};
use flow_core::{CancelToken, Clock, Entropy, ErrorKind, StepError, SystemEntropy};
use futures::future::{Either, select};
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::sync::oneshot;

use super::connection::{Connection, Live, Purpose, within};
use super::connection_error::ConnectionError;
use super::script::{self, Leader};

/// What is kept of each stream: its end.
const KEPT: usize = 1024 * 1024;
/// How long a stream may be quiet after its program has ended: a daemon that was left behind may hold it for ever.
const QUIET: Duration = Duration::from_secs(1);

/// How a command came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    ByItself(CommandOutput),
    /// It was ended, with all its children, after its timeout, or never came to start.
    TimedOut,
    /// It was ended, with all its children, because somebody cancelled.
    Cancelled,
}

/// Why a command must end.
#[derive(Debug, Clone, Copy)]
enum Stop {
    TimedOut,
    Cancelled,
    Abandoned,
}

/// Runs `command` in `directory`. When this returns nothing of it runs, unless it ended by itself and left something on purpose;
/// when this is dropped, all of it is ended on its own.
///
/// # Errors
/// A rejection when it was certainly not started; [`ConnectionError::Vanished`] below one that is in doubt.
pub(crate) async fn execute(
    connection: &Arc<Connection>,
    command: &Command,
    directory: &str,
    cancel: Option<&CancelToken>,
) -> Result<Ended, StepError> {
    let live = connection.live().await?;
    let (abandon, abandoned) = oneshot::channel::<()>();
    let watch = Watch {
        connection: Arc::clone(connection),
        live,
        command: command.clone(),
        directory: directory.to_owned(),
        cancel: cancel.cloned(),
        nonce: nonce(),
    };
    let watched = tokio::spawn(watch.run(abandoned));
    let ended = watched.await;
    // Dropped before its time, this tells the watch that nobody waits any more.
    drop(abandon);
    ended.unwrap_or_else(|error| Err(StepError::in_doubt("watching the command ended early").because(error)))
}

fn nonce() -> String {
    format!("{:016x}{:016x}", SystemEntropy.next(), SystemEntropy.next())
}

/// One command and whoever waits for it.
struct Watch {
    connection: Arc<Connection>,
    live: Arc<Live>,
    command: Command,
    directory: String,
    cancel: Option<CancelToken>,
    nonce: String,
}

impl Watch {
    async fn run(self, abandoned: oneshot::Receiver<()>) -> Result<Ended, StepError> {
        let clock = Arc::clone(&self.connection.clock);
        let cancelled = async {
            match &self.cancel {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            match select(select(clock.sleep(self.command.timeout), pin!(cancelled)), abandoned).await {
                Either::Left((Either::Left(_), _)) => Stop::TimedOut,
                Either::Left((Either::Right(_), _)) => Stop::Cancelled,
                Either::Right(_) => Stop::Abandoned,
            }
        };
        let mut stopped = pin!(stopped);
        let session = pin!(self.connection.session(&self.live, Purpose::Command));
        let (mut channel, _place) = match select(session, stopped.as_mut()).await {
            Either::Left((session, _)) => session?,
            Either::Right((stop, _)) => return stop.ended(),
        };
        let script = script::start(&self.connection.config, &self.command, &self.directory, &self.nonce);
        let mut transcript = Transcript::new(&self.nonce);
        let watched = async {
            give(&channel, script).await?;
            transcript.follow(&mut channel, &*clock).await;
            Ok::<_, StepError>(())
        };
        let stop = match select(pin!(watched), stopped).await {
            Either::Left((followed, _)) => followed.map(|()| None)?,
            Either::Right((stop, _)) => Some(stop),
        };
        if stop.is_some() {
            self.end(&mut channel, &mut transcript).await?;
        }
        // Whoever still holds its streams writes to nobody from here on. The connection may be gone: then the channel is too.
        let _ = channel.close().await;
        stop.map_or_else(|| transcript.judge(&self.command), Stop::ended)
    }

    /// Ends all of a command that may have been started.
    async fn end(&self, channel: &mut Channel<Msg>, transcript: &mut Transcript) -> Result<(), StepError> {
        let Connection { config, clock, .. } = &*self.connection;
        let greeted = async {
            // Where it had not come yet: without the rest of its script a shell ends, and has begun nothing of it.
            let _ = channel.eof().await;
            transcript.greeted(channel).await;
        };
        let known = within(&**clock, config.patience.answer, greeted).await;
        let leader = match transcript.said() {
            Some(Said::Ran(leader)) => leader,
            // It ended before it became the program.
            Some(Said::Refused(_)) => return Ok(()),
            None if known.is_some() && transcript.exit.is_some() => return Ok(()),
            None => {
                self.live.give_up();
                return Err(unended());
            }
        };
        let nonce = nonce();
        let ending = async {
            let (mut channel, _place) = self.connection.session(&self.live, Purpose::Ending).await?;
            give(&channel, script::end(leader, config.grace, &nonce)).await?;
            let mut transcript = Transcript::new(&nonce);
            transcript.follow(&mut channel, &**clock).await;
            Ok::<_, StepError>(transcript.out.first_line())
        };
        let limit = config.grace + script::SETTLE + config.patience.answer;
        // What is printed meanwhile is still read: who waits to print does not end.
        let followed = pin!(transcript.drain(channel));
        let ended = match select(pin!(within(&**clock, limit, ending)), followed).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), ending)) => ending.await,
        };
        match ended {
            Some(Ok(Some(said))) if said == "gone" => Ok(()),
            Some(Ok(said)) => Err(unended().fact("left", said.unwrap_or_default())),
            Some(Err(error)) => Err(unended().because(error)),
            None => {
                self.live.give_up();
                Err(unended())
            }
        }
    }
}

fn unended() -> StepError {
    StepError::in_doubt("the command had to end and was not seen to").because(ConnectionError::Vanished)
}

impl Stop {
    fn ended(self) -> Result<Ended, StepError> {
        match self {
            Self::TimedOut => Ok(Ended::TimedOut),
            // Nobody reads what an abandoned one answers.
            Self::Cancelled | Self::Abandoned => Ok(Ended::Cancelled),
        }
    }
}

/// Asks for the shell and gives it all that it reads. Its answer is the first line of what it prints.
///
/// # Errors
/// In doubt: the connection broke, and nobody knows how much of it came over.
async fn give(channel: &Channel<Msg>, script: String) -> Result<(), StepError> {
    let given = async {
        channel.exec(true, script::SHELL).await?;
        channel.data_bytes(script.into_bytes()).await?;
        channel.eof().await
    };
    given.await.map_err(|_| vanished())
}

fn vanished() -> StepError {
    StepError::in_doubt("the host vanished while the command ran").because(ConnectionError::Vanished)
}

/// What a script said of itself.
enum Said {
    Ran(Leader),
    Refused(String),
}

/// What came over a channel.
struct Transcript {
    out: Stream,
    err: Stream,
    /// The exit code, or none for a signal.
    exit: Option<Option<i32>>,
    /// The server does not run commands.
    denied: bool,
}

impl Transcript {
    fn new(nonce: &str) -> Self {
        let marker = script::marker(nonce);
        Self { out: Stream::new(&marker), err: Stream::new(&marker), exit: None, denied: false }
    }

    /// Reads until the channel is closed, or the program has ended and its streams are quiet.
    async fn follow(&mut self, channel: &mut Channel<Msg>, clock: &dyn Clock) {
        while self.exit.is_none() {
            let Some(message) = channel.wait().await else { return };
            self.take(message);
        }
        while let Some(Some(message)) = within(clock, QUIET, channel.wait()).await {
            if matches!(message, ChannelMsg::Eof | ChannelMsg::Close) {
                return;
            }
            self.take(message);
        }
    }

    /// Reads until the script has said what came of it, or can no longer.
    async fn greeted(&mut self, channel: &mut Channel<Msg>) {
        while self.out.line.is_none() && self.exit.is_none() {
            let Some(message) = channel.wait().await else { return };
            self.take(message);
        }
    }

    async fn drain(&mut self, channel: &mut Channel<Msg>) {
        while let Some(message) = channel.wait().await {
            self.take(message);
        }
    }

    fn take(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::Data { data } => self.out.take(&data),
            ChannelMsg::ExtendedData { data, .. } => self.err.take(&data),
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(i32::try_from(exit_status).ok()),
            ChannelMsg::ExitSignal { .. } => self.exit = Some(None),
            ChannelMsg::Failure => self.denied = true,
            _ => {}
        }
    }

    fn said(&self) -> Option<Said> {
        let line = self.out.first_line()?;
        Some(line.strip_prefix("ran ").and_then(Leader::parse).map_or(Said::Refused(line), Said::Ran))
    }

    /// What came of a command that was followed to its end.
    fn judge(self, command: &Command) -> Result<Ended, StepError> {
        let refused = |kind, message| Err(StepError::new(kind, message).fact("program", &command.program));
        match (self.said(), self.exit) {
            (Some(Said::Ran(_)), Some(code)) => {
                let (stdout, stderr) = (self.out.end(), self.err.end());
                Ok(Ended::ByItself(CommandOutput { code, stdout, stderr }))
            }
            (Some(Said::Refused(why)), _) => match why.as_str() {
                "directory" => {
                    refused(ErrorKind::Conflict, "the working directory is no longer where it was")
                }
                "absent" => refused(
                    ErrorKind::NotFound,
                    "the program is not on the host, or in no directory of its `PATH`",
                ),
                "denied" => refused(ErrorKind::Denied, "the program may not be executed"),
                "session" => {
                    refused(ErrorKind::Unavailable, "the server gives commands no session of their own")
                }
                _ => refused(ErrorKind::Unavailable, "the host lacks `/proc`, `env` or `timeout`"),
            },
            _ if self.denied => refused(ErrorKind::Denied, "the server runs no commands for this user"),
            // The script says that it ran before it becomes the program: it did not.
            (None, Some(_)) => refused(
                ErrorKind::Invalid,
                "the login shell, or `/bin/sh` with this environment, ended before the command",
            ),
            (_, None) => Err(vanished()),
        }
    }
}

/// One stream: the line that says where what is the program's begins, and the end of the rest.
struct Stream {
    marker: Vec<u8>,
    line: Option<String>,
    kept: Vec<u8>,
}

impl Stream {
    fn new(marker: &str) -> Self {
        Self { marker: marker.as_bytes().to_vec(), line: None, kept: Vec::new() }
    }

    fn take(&mut self, data: &[u8]) {
        self.kept.extend_from_slice(data);
        if self.line.is_none() {
            self.line = self.cut_line();
        }
        // Cut at twice the bound, so that a long output is not moved at every packet.
        if self.kept.len() > 2 * KEPT {
            self.cut();
        }
    }

    fn cut_line(&mut self) -> Option<String> {
        let begin = self.kept.windows(self.marker.len()).position(|bytes| bytes == self.marker)?;
        let rest = self.kept.get(begin + self.marker.len()..)?;
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(rest.get(..length)?).into_owned();
        self.kept.drain(..begin + self.marker.len() + length + 1);
        Some(line)
    }

    fn first_line(&self) -> Option<String> {
        self.line.clone()
    }

    fn cut(&mut self) {
        let excess = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..excess);
    }

    fn end(mut self) -> Vec<u8> {
        // Without its line nothing of the stream is the program's.
        if self.line.is_none() {
            self.kept.clear();
        }
        self.cut();
        self.kept
    }
}
