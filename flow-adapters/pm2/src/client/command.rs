use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flow_core::Clock;
use futures::future::{Either, select};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

/// A program, its arguments and its whole environment; there is no shell. `Debug` would show the environment, so there is none.
pub(crate) struct Command<'c> {
    pub(crate) program: &'c Path,
    pub(crate) args: Vec<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: &'c Path,
    pub(crate) timeout: Duration,
    /// The most that may come out of it.
    pub(crate) output: u64,
}

/// Why a program gave no output. What it wrote may be secret and is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started.
    #[error("the program `{}` cannot be started", .program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        reason: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("the program did not end within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It wrote more than is read of it, and was killed.
    #[error("the program wrote more than {0} bytes")]
    TooMuch(u64),
    /// It ended with a failure.
    #[error("the program ended with `{0}`")]
    Failed(std::process::ExitStatus),
    /// What it wrote could not be read.
    #[error("the program's output cannot be read")]
    Unreadable(#[source] io::Error),
}

/// Runs a program to its end and gives what it wrote to its standard output.
pub(crate) async fn run(clock: &dyn Clock, command: Command<'_>) -> Result<Vec<u8>, CommandError> {
    let child = tokio::process::Command::new(command.program)
        .args(&command.args)
        .env_clear()
        .envs(&command.env)
        .current_dir(command.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child =
        child.map_err(|reason| CommandError::NotStarted { program: command.program.to_owned(), reason })?;
    let mut group = Group(child.id());
    let ended =
        match select(std::pin::pin!(read(&mut child, command.output)), clock.sleep(command.timeout)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Err(CommandError::TimedOut(command.timeout)),
        };
    // None once it was waited for: its number may soon be somebody else's.
    group.0 = child.id();
    ended
}

async fn read(child: &mut Child, most: u64) -> Result<Vec<u8>, CommandError> {
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = bounded(stdout, most).await.map_err(CommandError::Unreadable)?;
        output = read.ok_or(CommandError::TooMuch(most))?;
    }
    let status = child.wait().await.map_err(CommandError::Unreadable)?;
    if status.success() { Ok(output) } else { Err(CommandError::Failed(status)) }
}

/// All of a stream; none where it is longer than `most`.
async fn bounded(stream: impl AsyncRead + Unpin, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    stream.take(most.saturating_add(1)).read_to_end(&mut bytes).await?;
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length <= most).then_some(bytes))
}

/// A program and its children, killed when dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
