use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;
use flow_core::port::Command;
use serde::{Deserialize, Serialize};

use crate::os::check_environment;

/// What of its user's environment a host hands on to commands.
const ALLOWED: [&str; 5] = ["HOME", "LANG", "PATH", "TMPDIR", "TZ"];

/// What a [`LocalHost`](super::LocalHost) is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// The directory below which everything happens. It must exist.
    pub root: PathBuf,
    /// The environment of every command: `HOME`, `LANG`, `PATH`, `TMPDIR` and `TZ`, as far as they are wanted.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long a command may take to end once it was asked to.
    #[serde(default = "grace")]
    pub grace: Duration,
}

impl HostConfig {
    /// A host below `root`, whose commands are looked up in `/usr/local/bin`, `/usr/bin` and `/bin`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        Self { root: root.into(), env: BTreeMap::from([path]), grace: grace() }
    }

    /// Gives every command this variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.root.is_absolute(), "root", "must be an absolute path");
        check_environment(&mut problems, "env", &self.env);
        for name in self.env.keys().filter(|name| !ALLOWED.contains(&name.as_str())) {
            problems.add(format!("env.{name}"), format!("is not one of {}", ALLOWED.join(", ")));
        }
        problems.into_result()
    }
}

/// Finds everything wrong with a command.
pub(super) fn check(command: &Command) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let program = &command.program;
    problems.check(
        !program.is_empty()
            && !program.contains('\0')
            && (!program.contains('/') || program.starts_with('/')),
        "program",
        "must be a plain name or an absolute path",
    );
    for (index, arg) in command.args.iter().enumerate() {
        if arg.contains('\0') {
            problems.add(format!("args.{index}"), "holds a zero byte");
        }
    }
    check_environment(&mut problems, "env", &command.env);
    problems.check(!command.timeout.is_zero(), "timeout", "must be longer than nothing");
    problems.into_result()
}

const fn grace() -> Duration {
    Duration::from_secs(2)
}
