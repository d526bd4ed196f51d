//! What a source and a builder are told: plain data, validated once, all problems reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};

/// Where programs are looked up unless a configuration says otherwise.
pub const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a [`GitSource`](crate::GitSource) is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitConfig {
    /// The repository's work tree, with its `.git` in it: an absolute path.
    pub repository: PathBuf,
    /// Where commits are laid, each as `<worktrees>/<commit>`: an absolute path outside the repository.
    pub worktrees: PathBuf,
    /// Where `git` is looked up, as a `PATH`.
    #[serde(default = "search_path")]
    pub search_path: String,
    /// How long one call of `git` may take.
    #[serde(default = "git_timeout")]
    pub timeout: Duration,
}

impl GitConfig {
    /// A configuration with the default search path and five minutes for each call of `git`.
    pub fn new(repository: impl Into<PathBuf>, worktrees: impl Into<PathBuf>) -> Self {
        Self {
            repository: repository.into(),
            worktrees: worktrees.into(),
            search_path: search_path(),
            timeout: git_timeout(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        check_path(&mut problems, "repository", &self.repository);
        check_path(&mut problems, "worktrees", &self.worktrees);
        problems.check(
            !self.worktrees.starts_with(&self.repository),
            "worktrees",
            "must be outside the repository, which it would make dirty",
        );
        check_surroundings(&mut problems, &self.search_path, self.timeout);
        problems.into_result()
    }
}

/// What a [`CommandBuilder`](crate::CommandBuilder) is told.
///
/// Arguments and the values of environment variables may hold `{tree}`, the checked-out tree, and `{out}`, an empty
/// directory that the build fills. A literal brace is written twice.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The commands, in order, each as a program and its arguments, run in the tree. No shell sees them.
    pub commands: Vec<Vec<String>>,
    /// All environment variables of the commands, `PATH` aside. Values may be secret and are never shown.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the build makes, by name: a file's or a directory's path below `{out}`.
    pub artifacts: BTreeMap<Name, String>,
    /// Where artefacts are kept, each as `<releases>/<sha256>/<file name>`: an absolute path.
    pub releases: PathBuf,
    /// Where programs are looked up, as a `PATH`; the commands get it too.
    #[serde(default = "search_path")]
    pub search_path: String,
    /// How long the whole build may take.
    #[serde(default = "build_timeout")]
    pub timeout: Duration,
    /// How large an artefact may be.
    #[serde(default)]
    pub limits: Limits,
}

impl CommandConfig {
    /// A configuration without commands and artefacts, with the default search path, one hour and default limits.
    pub fn new(releases: impl Into<PathBuf>) -> Self {
        Self {
            commands: Vec::new(),
            env: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            releases: releases.into(),
            search_path: search_path(),
            timeout: build_timeout(),
            limits: Limits::default(),
        }
    }

    /// Adds a command after those before it.
    #[must_use]
    pub fn command<A: Into<String>>(mut self, argv: impl IntoIterator<Item = A>) -> Self {
        self.commands.push(argv.into_iter().map(Into::into).collect());
        self
    }

    /// Adds an artefact: what stands at `path` below `{out}` after the build.
    #[must_use]
    pub fn artifact(mut self, name: Name, path: impl Into<String>) -> Self {
        self.artifacts.insert(name, path.into());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for CommandConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<&String> = self.env.keys().collect();
        f.debug_struct("CommandConfig")
            .field("commands", &self.commands)
            .field("env", &env)
            .field("artifacts", &self.artifacts)
            .field("releases", &self.releases)
            .field("search_path", &self.search_path)
            .field("timeout", &self.timeout)
            .field("limits", &self.limits)
            .finish()
    }
}

/// How large one artefact may be; what is larger is refused, with nothing kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes in all its files. 4 GiB by default.
    pub bytes: u64,
    /// The most files and directories. 100,000 by default.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 30, entries: 100_000 }
    }
}

/// A path that reaches arguments and Git's own files: absolute, and text without control characters.
pub(crate) fn check_path(problems: &mut Problems, field: &str, path: &Path) {
    problems.check(path.is_absolute(), field, "must be an absolute path");
    let is_plain = path.to_str().is_some_and(|text| !text.contains(char::is_control));
    problems.check(is_plain, field, "must be UTF-8 without control characters");
    let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
    problems.check(!climbs, field, "must not hold `..`");
}

/// What every program is run with: where it is looked up, and for how long it may run.
pub(crate) fn check_surroundings(problems: &mut Problems, search_path: &str, timeout: Duration) {
    // A relative entry would look programs up in the tree that is built.
    let is_absolute = |entry: &str| entry.starts_with('/') && !entry.contains(char::is_control);
    problems.check(search_path.split(':').all(is_absolute), "search_path", "must hold absolute paths only");
    problems.check(!timeout.is_zero(), "timeout", "must be more than zero");
}

fn search_path() -> String {
    SEARCH_PATH.to_owned()
}

const fn git_timeout() -> Duration {
    Duration::from_mins(5)
}

const fn build_timeout() -> Duration {
    Duration::from_hours(1)
}
