use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::StepError;
use flow_core::port::{Command, CommandOutput, HostPath};

use super::tree::{HostNode, Tree};

/// What is kept of each stream.
const KEPT: usize = 1 << 20;

/// What a command of a [`FakeHost`](super::FakeHost) does: what it prints, changes and takes, and how it ends.
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::port::HostPath;
/// use flow_testkit::fake::Script;
///
/// let install = Script::ends(0)
///     .stdout("added 312 packages")
///     .writes(HostPath::new("node_modules/.package-lock.json")?, "{}")
///     .takes(Duration::from_secs(40));
/// # let _ = install;
/// # Ok::<(), flow_core::port::InvalidHostPath>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    code: Option<i32>,
    stdout: Print,
    stderr: Vec<u8>,
    takes: Option<Duration>,
    processes: usize,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Print {
    Bytes(Vec<u8>),
    Environment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    Writes(HostPath, Vec<u8>),
    Removes(HostPath),
}

impl Script {
    /// A command that ends with `code` at once.
    #[must_use]
    pub const fn ends(code: i32) -> Self {
        Self::new(Some(code), Some(Duration::ZERO))
    }

    /// A command that a signal ends at once.
    #[must_use]
    pub const fn signalled() -> Self {
        Self::new(None, Some(Duration::ZERO))
    }

    /// A command that never ends by itself.
    #[must_use]
    pub const fn hangs() -> Self {
        Self::new(None, None)
    }

    const fn new(code: Option<i32>, takes: Option<Duration>) -> Self {
        let stdout = Print::Bytes(Vec::new());
        Self { code, stdout, stderr: Vec::new(), takes, processes: 1, effects: Vec::new() }
    }

    /// It prints this on standard output.
    #[must_use]
    pub fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = Print::Bytes(bytes.into());
        self
    }

    /// It prints this on standard error.
    #[must_use]
    pub fn stderr(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stderr = bytes.into();
        self
    }

    /// It prints the environment that it gets on standard output, a `NAME=value` a line.
    #[must_use]
    pub fn prints_environment(mut self) -> Self {
        self.stdout = Print::Environment;
        self
    }

    /// It takes this long, in virtual time under a paused clock.
    #[must_use]
    pub const fn takes(mut self, duration: Duration) -> Self {
        self.takes = Some(duration);
        self
    }

    /// It runs as so many processes: itself and its children.
    #[must_use]
    pub const fn processes(mut self, count: usize) -> Self {
        self.processes = count;
        self
    }

    /// It writes a file, below its working directory.
    #[must_use]
    pub fn writes(mut self, path: HostPath, content: impl Into<Vec<u8>>) -> Self {
        self.effects.push(Effect::Writes(path, content.into()));
        self
    }

    /// It removes a file, a link, or a directory with all that is in it, below its working directory.
    #[must_use]
    pub fn removes(mut self, path: HostPath) -> Self {
        self.effects.push(Effect::Removes(path));
        self
    }

    pub(super) const fn duration(&self) -> Option<Duration> {
        self.takes
    }

    pub(super) const fn family(&self) -> usize {
        self.processes
    }

    pub(super) const fn parts(&self) -> usize {
        self.effects.len()
    }

    /// Carries out one part of what it changes. There may be no such part.
    pub(super) fn carry_out(
        &self,
        part: usize,
        tree: &mut Tree,
        directory: Option<&HostPath>,
    ) -> Result<(), StepError> {
        let below = |path: &HostPath| match directory {
            Some(directory) => directory.join(path.as_str()),
            None => Ok(path.clone()),
        };
        match self.effects.get(part) {
            Some(Effect::Writes(path, content)) => tree.put(&below(path)?, HostNode::File(content.clone())),
            Some(Effect::Removes(path)) => {
                tree.prune(&below(path)?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn output(&self, command: &Command, allowed: &BTreeMap<String, String>) -> CommandOutput {
        let stdout = match &self.stdout {
            Print::Bytes(bytes) => bytes.clone(),
            Print::Environment => {
                let mut env = allowed.clone();
                env.extend(command.env.clone());
                let lines: Vec<String> =
                    env.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                lines.concat().into_bytes()
            }
        };
        CommandOutput { code: self.code, stdout: end_of(stdout), stderr: end_of(self.stderr.clone()) }
    }
}

fn end_of(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.drain(..bytes.len().saturating_sub(KEPT));
    bytes
}
