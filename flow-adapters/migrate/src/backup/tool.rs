//! The servers' own tools: found, asked for their version, and run with a stream, a deadline and an end that is known.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flow_core::{CancelToken, ErrorKind, StepError};
use futures::future::{Either, select};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::files::{about, blocking};

/// How long a tool may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(20);
/// How much of what a tool said goes into an error: its first complaint. What follows may be rows.
const SAID_MAX: usize = 400;

/// A program of a server's distribution.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    program: PathBuf,
    /// Its version's first two numbers.
    pub(super) version: (u32, u32),
}

impl Tool {
    /// The first of `names` in `folders` that is not older than `least`: an older tool does not know all that a server has.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none at all, [`Conflict`](ErrorKind::Conflict) where all are older.
    pub(super) async fn find(
        names: &[&str],
        folders: &[PathBuf],
        least: (u32, u32),
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        let mut newest: Option<Self> = None;
        let programs: Vec<PathBuf> =
            folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).collect();
        for program in programs {
            if !program.is_file() {
                continue;
            }
            let version = version(&program, cancel).await?;
            if version >= least {
                return Ok(Self { program, version });
            }
            if newest.as_ref().is_none_or(|newest| newest.version < version) {
                newest = Some(Self { program, version });
            }
        }
        let server = format!("{}.{}", least.0, least.1);
        Err(match newest {
            None => StepError::new(ErrorKind::NotFound, "the server's tool is not there")
                .fact("tool", names.join(" or "))
                .fact(
                    "folders",
                    folders.iter().map(|folder| folder.to_string_lossy()).collect::<Vec<_>>().join(":"),
                ),
            Some(Self { program, version: (major, minor) }) => {
                StepError::new(ErrorKind::Conflict, "the tool is older than the server")
                    .fact("tool", program.display())
                    .fact("tool_version", format!("{major}.{minor}"))
                    .fact("server_version", server)
            }
        })
    }

    /// A run of it, with nothing of our environment.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0);
        command
    }
}

/// When a run has to end.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) patience: Duration,
    pub(super) cancel: CancelToken,
}

/// Runs a tool, and gives what it prints to `sink` on a thread of its own.
///
/// # Errors
/// `sink`'s own first; then what the tool complained of. The tool has ended in any case.
pub(super) async fn pour_out<T: Send + 'static>(
    mut command: Command,
    limits: &Limits,
    sink: impl FnOnce(File) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let output = child.stdout.take().and_then(|output| output.into_owned_fd().ok()).ok_or_else(no_pipe)?;
    conduct(child, limits, move || sink(output.into())).await
}

/// Runs a tool, and lets `source` write what it reads on a thread of its own.
///
/// # Errors
/// `source`'s own first, a tool that reads no more aside; then what the tool complained of.
pub(super) async fn pour_in(
    mut command: Command,
    limits: &Limits,
    source: impl FnOnce(File) -> Result<(), StepError> + Send + 'static,
) -> Result<(), StepError> {
    let mut child = start(command.stdin(Stdio::piped()))?;
    let input = child.stdin.take().and_then(|input| input.into_owned_fd().ok()).ok_or_else(no_pipe)?;
    conduct(child, limits, move || source(input.into())).await
}

fn start(command: &mut Command) -> Result<Child, StepError> {
    let program = PathBuf::from(command.as_std().get_program());
    command.spawn().map_err(|error| about(&program, error))
}

fn no_pipe() -> StepError {
    StepError::new(ErrorKind::Failed, "the tool has no pipe")
}

/// Kills a tool with all that it started, unless it was seen to end: what lives on would hold its pipes open.
#[derive(Debug)]
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It has no other owner: it ended by itself meanwhile, or ends now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn conduct<T: Send + 'static>(
    mut child: Child,
    limits: &Limits,
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let mut running = KillOnDrop(pid);
    let said = child.stderr.take().map(first_complaint);
    let said = tokio::spawn(async move {
        match said {
            Some(said) => said.await,
            None => String::new(),
        }
    });
    let worked = tokio::spawn(blocking(work));
    let stopped = {
        let ended = std::pin::pin!(child.wait());
        let limit = std::pin::pin!(limit(limits));
        match select(ended, limit).await {
            Either::Left(_) => None,
            Either::Right((stopped, _)) => Some(stopped),
        }
    };
    if stopped.is_none() {
        running.0 = None;
    }
    drop(running);
    let status =
        child.wait().await.map_err(|error| StepError::in_doubt("the tool's end is not known").because(error));
    // Its pipes have ended with it.
    let worked = worked.await.map_err(|error| StepError::in_doubt("the work was cut short").because(error));
    let said = said.await.unwrap_or_default();
    if let Some(stopped) = stopped {
        return Err(stopped);
    }
    let (worked, status) = (worked??, status?);
    if status.success() { Ok(worked) } else { Err(complaint(status, &said)) }
}

async fn limit(limits: &Limits) -> StepError {
    let cancelled = std::pin::pin!(limits.cancel.cancelled());
    let over = std::pin::pin!(tokio::time::sleep(limits.patience));
    match select(cancelled, over).await {
        Either::Left(_) => StepError::new(ErrorKind::Cancelled, "the tool was stopped"),
        Either::Right(_) => StepError::new(ErrorKind::Failed, "the tool took longer than it may")
            .fact("seconds", limits.patience.as_secs()),
    }
}

/// What a tool's end means. Whatever it did, it did to our file or to a database of ours that is thrown away.
fn complaint(status: ExitStatus, said: &str) -> StepError {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (kind, message) =
        if has(&["permission denied", "Access denied", "must be owner", "must be superuser", "ERROR 1227"]) {
            (ErrorKind::Denied, "the user lacks a right that the tool needs")
        } else if has(&["No space left on device", "disk full"]) {
            (ErrorKind::Failed, "the disk is full")
        } else if has(&[
            "server closed the connection",
            "Connection refused",
            "Lost connection",
            "gone away",
            "terminating connection",
            "Can't connect",
        ]) {
            (ErrorKind::Unavailable, "the tool lost the server")
        } else {
            (ErrorKind::Failed, "the tool failed")
        };
    StepError::new(kind, message).fact("status", status).fact("said", said)
}

/// The first line in which it complains; all of it is read, so that the tool never waits.
async fn first_complaint(stream: impl AsyncRead + Unpin) -> String {
    let mut stream = stream;
    let (mut text, mut buffer) = (Vec::new(), [0_u8; 4096]);
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        if text.len() < 64 * 1024 {
            text.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    }
    let text = String::from_utf8_lossy(&text);
    let complains = |line: &&str| line.to_ascii_lowercase().contains("error");
    let line = text.lines().find(complains).or_else(|| text.lines().next()).unwrap_or_default();
    line.chars().take(SAID_MAX).collect()
}

/// The first two numbers of what `--version` prints last: `15.18`, `10.11`.
async fn version(program: &Path, cancel: &CancelToken) -> Result<(u32, u32), StepError> {
    let tool = Tool { program: program.to_owned(), version: (0, 0) };
    let mut command = tool.command();
    command.arg("--version");
    let limits = Limits { patience: VERSION_PATIENCE, cancel: cancel.clone() };
    let at = program.to_owned();
    let printed = pour_out(command, &limits, move |output| {
        std::io::read_to_string(output).map_err(|error| about(&at, error))
    });
    let printed = printed.await.map_err(|error| error.fact("tool", program.display()))?;
    numbers(&printed).ok_or_else(|| {
        StepError::new(ErrorKind::Conflict, "the tool does not say its version")
            .fact("tool", program.display())
    })
}

/// `pg_dump (PostgreSQL) 15.18 (Debian ..)`, `mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for ..`,
/// `mariadb from 11.4.2-MariaDB, client 15.2 ..`, `mysqldump  Ver 8.0.36 for Linux ..`.
pub(super) fn numbers(text: &str) -> Option<(u32, u32)> {
    let behind = |word: &str| text.split_once(word).map(|(_, behind)| behind);
    let version =
        [" Distrib ", " from ", "(PostgreSQL) ", " Ver "].into_iter().find_map(behind).unwrap_or(text);
    let version = version.split([' ', ',', '-']).next()?;
    let mut parts = version.split(|character: char| !character.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// An argument `--name=value`.
pub(super) fn option(name: &str, value: impl AsRef<OsStr>) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(format!("--{name}="));
    option.push(value);
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_tools_print() {
        for (printed, version) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", (15, 18)),
            ("pg_dump (PostgreSQL) 18beta1\n", (18, 0)),
            ("mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n", (10, 11)),
            (
                "mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper",
                (10, 11),
            ),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", (11, 4)),
            ("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", (8, 0)),
        ] {
            assert_eq!(numbers(printed), Some(version), "{printed}");
        }
        assert_eq!(numbers("no version"), None);
    }

    fn shell(script: &str) -> Command {
        let tool = Tool { program: "/bin/sh".into(), version: (0, 0) };
        let mut command = tool.command();
        command.args(["-c", script]);
        command
    }

    fn limits(patience: Duration) -> Limits {
        Limits { patience, cancel: CancelToken::new() }
    }

    async fn text_of(script: &str, limits: &Limits) -> Result<String, StepError> {
        pour_out(shell(script), limits, |output| Ok(std::io::read_to_string(output).unwrap())).await
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn a_tool_has_nothing_of_our_environment_and_its_first_complaint_is_told() {
        let said = text_of("env | sort", &limits(LONG)).await.unwrap();
        assert_eq!(
            said,
            "LC_ALL=C.UTF-8\nPATH=/usr/bin:/bin\nPWD=/\n"
                .replace("PWD=/", &format!("PWD={}", std::env::current_dir().unwrap().display()))
        );
        let script = "echo warning: x >&2; echo 'x: error: y' >&2; echo 'CONTEXT: secret row' >&2; exit 3";
        let error = text_of(script, &limits(LONG)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Failed && error.to_string().contains("x: error: y"), "{error}");
        assert!(!error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_ended_at_its_deadline_or_when_it_is_cancelled() {
        let error = text_of("sleep 600", &limits(Duration::from_millis(50))).await.unwrap_err();
        assert_eq!(error.message(), "the tool took longer than it may");
        let waiting = limits(LONG);
        waiting.cancel.cancel();
        assert_eq!(text_of("sleep 600", &waiting).await.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    async fn a_sink_that_fails_is_told_before_the_tool_that_it_broke() {
        let fails = |_: File| Err::<(), _>(StepError::new(ErrorKind::Failed, "the disk is full"));
        let endless = "while :; do echo x; done";
        let error = pour_out(shell(endless), &limits(LONG), fails).await.unwrap_err();
        assert_eq!(error.message(), "the disk is full");
    }
}
