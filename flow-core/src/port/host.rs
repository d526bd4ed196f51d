use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Problems, StepError};
use crate::name::Digest;
use crate::permit::Permit;

/// How much of a failed command's output an error shows, in characters.
const OUTPUT_MAX: usize = 2000;

/// A path below a host's root: relative, without `.` and `..`, made of plain parts.
///
/// ```
/// use flow_core::port::HostPath;
///
/// assert_eq!(HostPath::new("releases/current")?.as_str(), "releases/current");
/// assert!(HostPath::new("../etc/passwd").is_err());
/// assert!(HostPath::new("/etc/passwd").is_err());
/// # Ok::<(), flow_core::port::InvalidHostPath>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

impl HostPath {
    /// Checks `path` and takes it.
    ///
    /// # Errors
    /// [`InvalidHostPath`] when it is empty, absolute, over 1,024 bytes, or has an empty part, `.`, `..`, a backslash or
    /// a control character.
    pub fn new(path: impl Into<String>) -> Result<Self, InvalidHostPath> {
        let path = path.into();
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || c == '\\')
        };
        if path.len() <= 1024 && path.split('/').all(plain) {
            Ok(Self(path))
        } else {
            Err(InvalidHostPath { path })
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `part` below this one.
    ///
    /// # Errors
    /// [`InvalidHostPath`] as [`new`](Self::new).
    pub fn join(&self, part: &str) -> Result<Self, InvalidHostPath> {
        Self::new(format!("{}/{part}", self.0))
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> Self {
        path.0
    }
}

impl TryFrom<String> for HostPath {
    type Error = InvalidHostPath;

    fn try_from(path: String) -> Result<Self, InvalidHostPath> {
        Self::new(path)
    }
}

/// A path that is no [`HostPath`]: it would leave its root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a plain relative path below its root")]
pub struct InvalidHostPath {
    /// The refused path.
    pub path: String,
}

impl From<InvalidHostPath> for StepError {
    fn from(error: InvalidHostPath) -> Self {
        Self::new(crate::ErrorKind::Invalid, "the path leaves its root").fact("path", error.path)
    }
}

/// A program and its arguments. There is no shell anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: a plain name looked up in the host's own `PATH`, or an absolute path.
    pub program: String,
    /// The arguments, each passed as it is.
    pub args: Vec<String>,
    /// The environment beyond the host's allow-list. Values may be secret and are never shown.
    pub env: BTreeMap<String, String>,
    /// The working directory below the host's root; the root itself without one.
    pub directory: Option<HostPath>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Command {
    /// A command with a timeout of one minute.
    pub fn new<A: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            directory: None,
            timeout: Duration::from_mins(1),
        }
    }

    /// Runs it in `directory`.
    #[must_use]
    pub fn directory(mut self, directory: HostPath) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Gives it `timeout`.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds what is wrong with it, its fields below `field`, as far as can be said on any machine.
    pub fn check(&self, field: &str, problems: &mut Problems) {
        problems.check(!self.program.is_empty(), &format!("{field}.program"), "must not be empty");
        problems.check(!self.timeout.is_zero(), &format!("{field}.timeout"), "must be above 0");
    }

    /// The parameters of a step that runs it, for a fingerprint. The environment's values enter as one digest.
    #[must_use]
    pub fn definition(&self) -> Value {
        json!({
            "program": self.program,
            "args": self.args,
            "directory": self.directory,
            "timeout": self.timeout,
            "env": { "names": self.env_names(), "values": Digest::of(json!(self.env).to_string().as_bytes()) },
        })
    }

    /// The digest under which it must have run before it runs in production: all of it but the values of its
    /// environment, which differ from one environment to the next.
    #[must_use]
    pub fn script(&self) -> Digest {
        let Self { program, args, directory, .. } = self;
        Digest::of(json!([program, args, directory, self.env_names()]).to_string().as_bytes())
    }

    fn env_names(&self) -> Vec<&String> {
        self.env.keys().collect()
    }
}

/// The program and its arguments on one line, for people.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env_names())
            .field("directory", &self.directory)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output: its last mebibyte.
    pub stdout: Vec<u8>,
    /// Standard error: its last mebibyte.
    pub stderr: Vec<u8>,
}

impl CommandOutput {
    /// Whether it ended with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Demands that `command` ended with 0: one that did not may have done half of its work.
    ///
    /// # Errors
    /// In doubt, with the code and the end of standard error.
    pub fn demand(&self, command: &Command) -> Result<(), StepError> {
        if self.succeeded() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&self.stderr);
        let from = stderr.char_indices().rev().nth(OUTPUT_MAX).map_or(0, |(index, _)| index);
        let tail = stderr.get(from..).unwrap_or_default().trim();
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        Err(StepError::in_doubt("the command did not succeed")
            .fact("command", command)
            .fact("end", code)
            .fact("stderr", tail))
    }
}

/// A machine: programs, files and links below one root directory.
///
/// No path leaves the root, through whatever links: one that would is [`Invalid`](crate::ErrorKind::Invalid), and nothing
/// is read or changed out there.
#[async_trait]
pub trait Host: Send + Sync {
    /// Runs a command that changes nothing, such as `git status`. Its environment is the host's allow-list and what the
    /// command brings itself, and nothing else. It is ended, with all its children, on timeout and when the future is dropped.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with all its problems for a command that cannot be run,
    /// [`NotFound`](crate::ErrorKind::NotFound) without the program or the directory,
    /// [`TimedOut`](crate::ErrorKind::TimedOut) after its timeout. A code other than 0 is an output, not an error. None
    /// shows the environment.
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError>;

    /// Runs a command that changes something, as [`query`](Self::query) does. It is ended on cancel too, and not started
    /// once that has come.
    ///
    /// # Errors
    /// As [`query`](Self::query), and [`Cancelled`](crate::ErrorKind::Cancelled).
    async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError>;

    /// Reads a file of at most 8 MiB, links that stay below the root followed; none where there is no such file.
    ///
    /// # Errors
    /// Any kind where it cannot be read; a larger file is [`Invalid`](crate::ErrorKind::Invalid).
    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError>;

    /// Replaces a file or a link: written beside, fsynced, renamed over it, its directory fsynced. Parents are made. A reader
    /// sees the old content or the new one whole.
    ///
    /// # Errors
    /// Any kind; the old file then stands whole.
    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError>;

    /// Copies the file `from` of the calling machine, of any size, in place of a file or a link. It arrives beside `to`, is
    /// compared by its digest with what `from` held, and is then fsynced and renamed over `to`, its directory fsynced. Parents
    /// are made. A reader sees the old content or the new one whole. Whether it may be executed is as with `from`; all else
    /// of its mode as with [`write`](Host::write).
    ///
    /// A call that is cut off leaves beside `to` what has arrived, and another one goes on from there, under the same permit or
    /// another: with as much of it as it has compared with `from`, and no byte more. Cancel ends it, with the old file standing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) without `from`, [`Invalid`](crate::ErrorKind::Invalid) where it is no file,
    /// [`Conflict`](crate::ErrorKind::Conflict) where something else arrived than it held, as when it is written to meanwhile,
    /// [`Cancelled`](crate::ErrorKind::Cancelled), and any other kind. The old file then stands whole; after a rejection
    /// nothing stands beside it.
    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError>;

    /// Removes a file or a link; one that is not there is done.
    ///
    /// # Errors
    /// Any kind where it still stands.
    async fn remove(&self, permit: &Permit, path: &HostPath) -> Result<(), StepError>;

    /// Where the link points to: relative to the root where that is below it, so that it reads as the
    /// [`HostPath`] which [`link`](Host::link) was given, and as written otherwise. None where there is no such link.
    ///
    /// # Errors
    /// Any kind where it cannot be read.
    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError>;

    /// Points a link to `target`, atomically: at no moment is there none. The target is below the root too.
    ///
    /// # Errors
    /// Any kind, also where a file or a directory stands; the old link, file or directory then stands.
    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError>;

    /// The names in a directory, ordered; empty where there is none.
    ///
    /// # Errors
    /// Any kind where it cannot be read.
    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError>;
}
