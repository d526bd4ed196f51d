//! A repository to deploy from, and how to look at the world without asking the adapters.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_build::{GitConfig, GitSource};
use flow_core::port::SourceRequest;
use flow_core::{CancelToken, Clock, SystemClock};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tempfile::TempDir;

/// A temporary directory whose path may be part of a tag: none of its names begins with a dot.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("flow-build-").tempdir().unwrap()
}

/// A directory with a repository in `repository` and room for work trees in `trees`.
pub(crate) struct Fixture {
    pub(crate) root: TempDir,
}

impl Fixture {
    /// An empty repository.
    pub(crate) fn new() -> Self {
        let fixture = Self { root: directory() };
        fs::create_dir(fixture.repository()).unwrap();
        fixture.git(&["init", "--quiet", "--initial-branch=main"]);
        fixture
    }

    /// A repository with one commit, tagged `v1`.
    pub(crate) fn tagged() -> Self {
        let fixture = Self::new();
        fixture.write("main.txt", "one\n");
        fixture.write("src/lib.txt", "lib\n");
        fixture.commit("v1");
        fixture
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.path("trees")
    }

    pub(crate) fn source(&self) -> GitSource {
        self.source_of(GitConfig::new(self.repository(), self.trees()))
    }

    pub(crate) fn source_of(&self, config: GitConfig) -> GitSource {
        self.source_by(config, Arc::new(SystemClock::new()))
    }

    pub(crate) fn source_by(&self, config: GitConfig, clock: Arc<dyn Clock>) -> GitSource {
        GitSource::new(config, clock).unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits everything and tags it; returns the commit.
    pub(crate) fn commit(&self, tag: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", tag]);
        self.git(&["tag", "--", tag]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs Git as the repository's user would, hooks, filters and all.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn try_git(&self, args: &[&str]) -> Output {
        Command::new("git")
            .args(args)
            .current_dir(self.repository())
            .stdin(Stdio::null())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@localhost")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@localhost")
            .output()
            .unwrap()
    }
}

pub(crate) fn tag(tag: &str) -> SourceRequest {
    SourceRequest { tag: tag.to_owned() }
}

/// Everything below `directory` by path: a link's target, a file's mode and content, a directory's nothing.
pub(crate) fn listing(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let shown = if metadata.is_dir() {
                open.push(path);
                "directory".to_owned()
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("{:o} {}", metadata.mode() & 0o7111, fs::read(&path).unwrap().escape_ascii())
            };
            found.insert(name, shown);
        }
    }
    found
}

/// What stands in a directory that an adapter keeps, its own `.flow` aside.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".flow");
    names.sort();
    names
}

/// How much scratch space is left over.
pub(crate) fn scratch(directory: &Path) -> Vec<String> {
    names(&directory.join(".flow/tmp"))
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a program.
pub(crate) fn script(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    set_mode(path, 0o755);
}

/// Whether a process runs; a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A clock by which each wait ends when the test says so, and a second passes whenever somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    pub(crate) ring: CancelToken,
    pub(crate) waits: Mutex<Vec<Duration>>,
    looks: AtomicU64,
}

impl Clock for Alarm {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.looks.fetch_add(1, Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.waits.lock().unwrap().push(duration);
        let ring = self.ring.clone();
        Box::pin(async move { ring.cancelled().await })
    }
}

/// Looks until `holds`, at most twenty seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
