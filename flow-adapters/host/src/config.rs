use std::path::PathBuf;
use std::time::Duration;

use flow_core::port::{Command, HostPath};
use flow_core::{Name, Problems};
use serde_json::{Value, json};

/// The most hosts that are worked on at a time.
const AT_ONCE_MAX: usize = 1_000;

/// What a release is on each of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseConfig {
    /// The name of the built artefact.
    pub artifact: Name,
    /// A directory of this machine for archives on their way to the hosts.
    pub archives: PathBuf,
    /// Files and directories below `shared/` on each host that are linked into each release, at the same paths. They must stand
    /// there, and the artefact must not have them.
    pub shared: Vec<HostPath>,
    /// How dependencies are installed in a new release.
    pub install: Option<Install>,
    /// A command that changes nothing and proves a release by ending with 0. It runs in the release's directory.
    pub check: Option<Command>,
    /// How many releases stay on a host, the newest ones. More do where they are in use.
    pub keep: u32,
    /// How many hosts are worked on at a time.
    pub at_once: usize,
}

/// How dependencies are installed in a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The command. It runs in the release's directory, which has no name yet: what it makes must not name where it stands.
    pub command: Command,
    /// Where to find out that an earlier release has the same dependencies.
    pub reuse: Option<Reuse>,
}

/// When dependencies are taken over from an earlier release on the same host instead of installed: when both have the same
/// lock file and were installed by the same command.
///
/// What else decides what is installed, such as the version of Node, must stand in the command or in its variables' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// The lock file, below the release.
    pub lock: HostPath,
    /// What the command makes, below the release.
    pub made: HostPath,
}

impl ReleaseConfig {
    /// The releases of `artifact`, nothing shared, installed or checked; 5 stay, and 4 hosts are worked on at a time.
    pub fn new(artifact: Name, archives: impl Into<PathBuf>) -> Self {
        let archives = archives.into();
        Self { artifact, archives, shared: Vec::new(), install: None, check: None, keep: 5, at_once: 4 }
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.archives.is_absolute(), "archives", "must be an absolute path");
        problems.check(self.keep > 0, "keep", "must be at least 1");
        problems.check((1..=AT_ONCE_MAX).contains(&self.at_once), "at_once", "must be from 1 to 1000");
        for (field, command) in self.commands() {
            command.check(field, &mut problems);
            let own = command.directory.is_some();
            problems.check(!own, &format!("{field}.directory"), "is the release's, and cannot be another");
        }
        problems.into_result()
    }

    /// The commands, by their fields.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let install = self.install.iter().map(|install| ("install.command", &install.command));
        install.chain(self.check.iter().map(|check| ("check", check)))
    }

    /// The parameters for a fingerprint. Where archives stand on this machine changes no deployment.
    pub(crate) fn definition(&self) -> Value {
        let reuse = self.install.as_ref().and_then(|install| install.reuse.as_ref());
        json!({
            "artifact": self.artifact,
            "shared": self.shared,
            "install": self.install.as_ref().map(|install| install.command.definition()),
            "reuse": reuse.map(|reuse| [&reuse.lock, &reuse.made]),
            "check": self.check.as_ref().map(Command::definition),
            "keep": self.keep,
            "at_once": self.at_once,
        })
    }
}

impl Install {
    /// `npm ci` within `timeout`, with its cache in `cache/npm` below the host's root: every release fills it and finds it.
    ///
    /// It installs anew in each release; see [`reusing`](Self::reusing).
    #[must_use]
    pub fn npm_ci(timeout: Duration) -> Self {
        // A release and one that is being made both stand two directories below the root.
        let args =
            ["ci", "--omit=dev", "--no-audit", "--no-fund", "--prefer-offline", "--cache", "../../cache/npm"];
        Self { command: Command::new("npm", args).timeout(timeout), reuse: None }
    }

    /// Takes what it makes at `made` over from an earlier release with the same `lock` file.
    #[must_use]
    pub fn reusing(self, lock: HostPath, made: HostPath) -> Self {
        Self { reuse: Some(Reuse { lock, made }), ..self }
    }
}
