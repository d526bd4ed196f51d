use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;
use serde::{Deserialize, Serialize};

/// The part of a command that becomes the path of a function's code.
pub(super) const CODE: &str = "{code}";

/// How [`LocalFunctions`](super::LocalFunctions) keeps and runs functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionsConfig {
    /// The directory of code and state, made where it does not exist. One platform's alone.
    pub root: PathBuf,
    /// The program and arguments that run a function; `{code}` in them becomes the path of its code. Alone it runs the code
    /// itself; with an interpreter before it, a script.
    #[serde(default = "command")]
    pub command: Vec<String>,
    /// How long a call may take.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

impl FunctionsConfig {
    /// Functions below `root` that are programs themselves and answer within 30 seconds.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), command: command(), timeout: timeout() }
    }

    /// Runs functions by `command`, in which `{code}` becomes the path of the code.
    #[must_use]
    pub fn command<A: Into<String>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// Gives each call this long.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.root.is_absolute(), "root", "must be an absolute path");
        problems.check(
            self.command.first().is_some_and(|program| program == CODE || program.starts_with('/')),
            "command",
            "must begin with `{code}` or an absolute path",
        );
        problems.check(
            self.command.iter().any(|part| part.contains(CODE)),
            "command",
            "must name the code as `{code}`",
        );
        problems.check(
            !self.command.iter().any(|part| part.contains('\0')),
            "command",
            "must not hold a zero byte",
        );
        problems.check(!self.timeout.is_zero(), "timeout", "must be longer than nothing");
        problems.into_result()
    }
}

fn command() -> Vec<String> {
    vec![CODE.to_owned()]
}

const fn timeout() -> Duration {
    Duration::from_secs(30)
}
