//! Runs one program in its own process group, bounded in time and output, without a shell.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::{CancelToken, Clock, ErrorKind, StepError};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// The most that is kept of an answer.
const ANSWER_MAX: usize = 1 << 20;
/// The most that is kept of a log: its end.
const LOG_MAX: usize = 4 << 10;
/// How long output may still arrive after the whole process group was killed.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs programs that are looked up in one search path.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) search_path: String,
}

/// A program to run.
pub(crate) struct Call {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// The whole environment, `PATH` aside.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) keep: Keep,
    pub(crate) timeout: Duration,
    /// Where the process is noted, for whoever finds the note after this process was killed.
    pub(crate) note: Option<PathBuf>,
}

/// What becomes of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its first mebibyte is the answer; only standard error is the log.
    Answer,
    /// It is part of the log.
    Log,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) answer: Vec<u8>,
    /// Whether there was more of the answer than was kept.
    pub(crate) is_truncated: bool,
    /// The last 4 KiB of the log.
    pub(crate) log: String,
}

enum Stopped {
    Ended(io::Result<()>),
    Cancelled,
    TimedOut,
}

impl Runner {
    /// Runs `call` to its end. Its whole process group is killed when it ended, on timeout, on cancel, and when this
    /// future is dropped; a process that left the group on purpose (`setsid`) is out of reach.
    pub(crate) async fn run(&self, call: &Call, cancel: Option<&CancelToken>) -> Result<Ended, StepError> {
        if cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before the program was started")
                .fact("program", &call.program));
        }
        let mut running = Running::spawn(call, &self.search_path)?;
        let cancelled = async {
            match cancel {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let stopped = tokio::select! {
            biased;
            () = cancelled => Stopped::Cancelled,
            ended = running.leader_ended() => Stopped::Ended(ended),
            () = self.clock.sleep(call.timeout) => Stopped::TimedOut,
        };
        let reaped = running.end(&*self.clock).await;
        let kept = running.kept();
        match stopped {
            Stopped::Ended(ended) => {
                let status = ended.and(reaped).map_err(|error| {
                    StepError::in_doubt("the end of the program is unknown")
                        .fact("program", &call.program)
                        .because(error)
                })?;
                Ok(Ended {
                    status,
                    log: kept.log.text(),
                    answer: kept.answer,
                    is_truncated: kept.is_truncated,
                })
            }
            Stopped::Cancelled => {
                Err(stopped_early(ErrorKind::Cancelled, "the program was cancelled", call, &kept))
            }
            Stopped::TimedOut => {
                let error = stopped_early(ErrorKind::TimedOut, "the program took too long", call, &kept);
                Err(error.fact("seconds", call.timeout.as_secs_f64()))
            }
        }
    }
}

fn stopped_early(kind: ErrorKind, message: &'static str, call: &Call, kept: &Kept) -> StepError {
    StepError::new(kind, message).fact("program", &call.program).fact("output", kept.log.text())
}

/// Why a program was not started.
fn not_started(call: &Call, error: io::Error) -> StepError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no such program or working directory"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "the program may not be run"),
        _ => (ErrorKind::Failed, "the program cannot be started"),
    };
    StepError::new(kind, message)
        .fact("program", &call.program)
        .fact("directory", call.directory.display())
        .because(error)
}

/// A program that was started. Dropping it kills its process group.
struct Running {
    child: Child,
    group: Option<Pid>,
    pumps: Vec<JoinHandle<()>>,
    kept: Arc<Mutex<Kept>>,
}

impl Running {
    fn spawn(call: &Call, search_path: &str) -> Result<Self, StepError> {
        let mut command = Command::new(&call.program);
        command
            .args(&call.args)
            .env_clear()
            .envs(&call.env)
            .env("PATH", search_path)
            .current_dir(&call.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| not_started(call, error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let kept = Arc::new(Mutex::new(Kept::default()));
        if let (Some(group), Some(note)) = (group, &call.note) {
            note_down(group, note);
        }
        let mut pumps = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            pumps.push(tokio::spawn(pump(stdout, call.keep, kept.clone())));
        }
        if let Some(stderr) = child.stderr.take() {
            pumps.push(tokio::spawn(pump(stderr, Keep::Log, kept.clone())));
        }
        Ok(Self { child, group, pumps, kept })
    }

    /// Waits until the leader has ended, **without** reaping it: as long as it is a zombie its process id, which is
    /// the group's, cannot become another process's, so killing the group hits nobody else.
    async fn leader_ended(&self) -> io::Result<()> {
        let Some(leader) = self.group else { return Ok(()) };
        let wait = move || loop {
            match waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                ended => return ended.map(drop).map_err(io::Error::from),
            }
        };
        tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?
    }

    /// Kills what is left of the group, reads what it still had to say, and reaps the leader.
    async fn end(&mut self, clock: &dyn Clock) -> io::Result<ExitStatus> {
        self.kill_group();
        // The pipes close when the last process that holds them is gone; one that left the group may never let go.
        let drained = async {
            for pump in &mut self.pumps {
                let _ = pump.await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = clock.sleep(DRAIN) => {}
        }
        let status = self.child.wait().await;
        self.group = None;
        status
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // It fails only where nothing is left to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn kept(&self) -> Kept {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
        self.pumps.iter().for_each(JoinHandle::abort);
    }
}

/// Writes down which process leads a group. A few bytes that need not outlive the machine: a lost note costs no more
/// than a command that outlives its controller.
fn note_down(leader: Pid, note: &Path) {
    if let Some(start) = started(leader) {
        let _ = fs::write(note, format!("{leader} {start}"));
    }
}

/// Ends the group whose leader `note` names, if the leader is still that very process.
pub(super) fn end_noted(note: &Path) {
    let text = fs::read_to_string(note).unwrap_or_default();
    let Some((leader, start)) = text.split_once(' ') else { return };
    let Some(leader) = leader.parse().ok().and_then(Pid::from_raw) else { return };
    if started(leader).as_deref() == Some(start) {
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

/// When a process was started, in ticks since the machine was: the 22nd field of its `stat`. None where there is no
/// `/proc`.
fn started(process: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let (_, from_third) = stat.rsplit_once(") ")?;
    from_third.split(' ').nth(19).map(str::to_owned)
}

/// What is kept of a program's output.
#[derive(Default)]
struct Kept {
    answer: Vec<u8>,
    is_truncated: bool,
    log: Tail,
}

impl Kept {
    fn take(&mut self, keep: Keep, bytes: &[u8]) {
        match keep {
            Keep::Log => self.log.push(bytes),
            Keep::Answer => {
                let room = ANSWER_MAX.saturating_sub(self.answer.len());
                self.is_truncated |= bytes.len() > room;
                self.answer.extend(bytes.iter().take(room));
            }
        }
    }
}

/// The end of a text, and nothing but the end.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(LOG_MAX);
        self.0.drain(..excess);
    }

    /// Adds a text that another program left.
    pub(crate) fn add(&mut self, text: &str) {
        self.push(text.as_bytes());
        self.push(b"\n");
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, keep: Keep, into: Arc<Mutex<Kept>>) {
    let mut buffer = [0; 8 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        into.lock().unwrap_or_else(PoisonError::into_inner).take(keep, bytes);
    }
}
