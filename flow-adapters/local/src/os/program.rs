//! Programs run to their end, in a process group of their own.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::port::CommandOutput;
use flow_core::{CancelToken, Clock, ErrorKind, Problems, StepError};
use futures::future::{Either, select};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::proc::{processes, signal_group};

/// What is kept of each stream: its end.
const KEPT: usize = 1024 * 1024;
/// How long the streams may stay open after the program has ended: a daemon that it left behind may hold them for ever.
const DRAIN: Duration = Duration::from_secs(1);
/// How long a killed group may take to be gone: a process in the middle of a system call ends after it.
const SETTLE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// How often a program is tried that somebody still seems to write to.
const BUSY_ATTEMPTS: u32 = 50;

/// A program to run.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Its file, an absolute path.
    pub(crate) path: &'a Path,
    /// Its arguments.
    pub(crate) args: &'a [String],
    /// All of its environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Its working directory.
    pub(crate) directory: &'a Path,
    /// What it reads; nothing without.
    pub(crate) input: Option<Vec<u8>>,
}

/// How long a program may run.
#[derive(Debug)]
pub(crate) struct Limits<'a> {
    /// After this it is asked to end.
    pub(crate) timeout: Duration,
    /// After this, once asked, it is made to.
    pub(crate) grace: Duration,
    /// Asks it to end before its time.
    pub(crate) cancel: Option<&'a CancelToken>,
}

/// How a program came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    ByItself(CommandOutput),
    /// It was ended, with its whole group, after its timeout.
    TimedOut,
    /// It was ended, with its whole group, because somebody cancelled.
    Cancelled,
}

impl Program<'_> {
    /// Runs the program. When this returns, or is dropped, nothing of its group runs on, unless the program ended by
    /// itself and left something behind on purpose.
    ///
    /// # Errors
    /// A rejection when it could not be started; in doubt when it could not be ended.
    pub(crate) async fn run(self, clock: &dyn Clock, limits: Limits<'_>) -> Result<Ended, StepError> {
        let mut command = Command::new(self.path);
        command
            .args(self.args)
            .env_clear()
            .envs(self.env)
            .current_dir(self.directory)
            .process_group(0)
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(clock, &mut command).await.map_err(|error| spawn_refused(self.path, error))?;
        let group = Group::of(&child);
        let mut streams = Streams::open(&mut child, self.input);
        match wait(clock, &mut child, &limits).await {
            Waited::Exited(status) => {
                group.release();
                let status = status.map_err(|error| {
                    StepError::in_doubt("the program's end cannot be observed").because(error)
                })?;
                Ok(Ended::ByItself(streams.output(clock, status.code()).await))
            }
            Waited::TimedOut => {
                group.end(clock, &mut child, limits.grace).await?;
                Ok(Ended::TimedOut)
            }
            Waited::Cancelled => {
                group.end(clock, &mut child, limits.grace).await?;
                Ok(Ended::Cancelled)
            }
        }
    }
}

/// Starts a program. One that was written a moment ago may still look busy: another thread's fork holds a copy of the
/// writer's descriptor until its own exec, so such an attempt is repeated for a while.
pub(crate) async fn spawn(clock: &dyn Clock, command: &mut Command) -> io::Result<Child> {
    let mut attempt = 1;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempt < BUSY_ATTEMPTS => {
                attempt += 1;
                clock.sleep(POLL).await;
            }
            result => return result,
        }
    }
}

/// The error for a program that could not be started: nothing ran.
pub(crate) fn spawn_refused(program: &Path, error: io::Error) -> StepError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => {
            (ErrorKind::NotFound, "the program, or what interprets it, does not exist")
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "the program may not be executed"),
        io::ErrorKind::ExecutableFileBusy => (ErrorKind::Conflict, "somebody is writing to the program"),
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
            (ErrorKind::Unavailable, "the system has no room for another process")
        }
        _ => (ErrorKind::Invalid, "the program cannot be executed"),
    };
    StepError::new(kind, message).fact("program", program.display()).because(error)
}

/// Finds names and values that no environment can hold.
pub(crate) fn check_environment(problems: &mut Problems, field: &str, env: &BTreeMap<String, String>) {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add(format!("{field}.{name}"), "is no name of an environment variable");
        }
        if value.contains('\0') {
            problems.add(format!("{field}.{name}"), "holds a zero byte");
        }
    }
}

enum Waited {
    Exited(io::Result<ExitStatus>),
    TimedOut,
    Cancelled,
}

async fn wait(clock: &dyn Clock, child: &mut Child, limits: &Limits<'_>) -> Waited {
    let cancelled = pin!(async {
        match limits.cancel {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    });
    let stopped = select(clock.sleep(limits.timeout), cancelled);
    match select(pin!(child.wait()), stopped).await {
        Either::Left((status, _)) => Waited::Exited(status),
        Either::Right((Either::Left(_), _)) => Waited::TimedOut,
        Either::Right((Either::Right(_), _)) => Waited::Cancelled,
    }
}

/// A program's process group, killed when dropped: nobody is left to wait for it then.
struct Group {
    id: Option<u32>,
}

impl Group {
    fn of(child: &Child) -> Self {
        Self { id: child.id() }
    }

    fn release(mut self) {
        self.id = None;
    }

    /// Asks the group to end, makes it end after `grace`, and returns when it is observed gone. The leader is reaped
    /// last, so its number cannot have gone to somebody else while the group is signalled.
    async fn end(mut self, clock: &dyn Clock, child: &mut Child, grace: Duration) -> Result<(), StepError> {
        let Some(id) = self.id else { return Ok(()) };
        signal_group(id, Signal::TERM).map_err(StepError::after_effect)?;
        let begun = clock.monotonic();
        while processes()?.iter().any(|process| process.group == id) {
            let waited = clock.monotonic().saturating_sub(begun);
            if waited >= grace.saturating_add(SETTLE) {
                return Err(
                    StepError::in_doubt("the program is still running after it was killed").fact("group", id)
                );
            } else if waited >= grace {
                signal_group(id, Signal::KILL).map_err(StepError::after_effect)?;
            }
            clock.sleep(POLL).await;
        }
        self.id = None;
        child
            .wait()
            .await
            .map(drop)
            .map_err(|error| StepError::in_doubt("the program's end cannot be observed").because(error))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _ = signal_group(id, Signal::KILL);
        }
    }
}

type Kept = Arc<Mutex<Vec<u8>>>;

/// A program's streams, kept flowing so that it never blocks on one.
struct Streams {
    stdout: Kept,
    stderr: Kept,
    pumps: JoinSet<()>,
}

impl Streams {
    fn open(child: &mut Child, input: Option<Vec<u8>>) -> Self {
        let mut streams = Self { stdout: Kept::default(), stderr: Kept::default(), pumps: JoinSet::new() };
        if let Some(stream) = child.stdout.take() {
            streams.pumps.spawn(keep(stream, Arc::clone(&streams.stdout)));
        }
        if let Some(stream) = child.stderr.take() {
            streams.pumps.spawn(keep(stream, Arc::clone(&streams.stderr)));
        }
        if let (Some(mut stream), Some(input)) = (child.stdin.take(), input) {
            // A program need not read what it is given.
            streams.pumps.spawn(async move { drop(stream.write_all(&input).await) });
        }
        streams
    }

    async fn output(&mut self, clock: &dyn Clock, code: Option<i32>) -> CommandOutput {
        let drained = async { while self.pumps.join_next().await.is_some() {} };
        drop(select(pin!(drained), clock.sleep(DRAIN)).await);
        CommandOutput { code, stdout: end_of(&self.stdout), stderr: end_of(&self.stderr) }
    }
}

async fn keep(mut stream: impl AsyncRead + Unpin, kept: Kept) {
    let mut chunk = Vec::with_capacity(64 * 1024);
    while let Ok(1..) = stream.read_buf(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.append(&mut chunk);
        // Cut at twice the bound, so that a long output is not moved at every chunk.
        if kept.len() > 2 * KEPT {
            cut(&mut kept);
        }
    }
}

fn cut(kept: &mut Vec<u8>) {
    let excess = kept.len().saturating_sub(KEPT);
    kept.drain(..excess);
}

fn end_of(kept: &Kept) -> Vec<u8> {
    let mut kept = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    cut(&mut kept);
    kept
}
