//! Two hosts as directories of this machine, reached through connections that break where a test says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::receipt::BuildFacts;
use flow_core::stage::{Build, Services};
use flow_core::{Artifact, Digest, Permit, Receipt, StepContext, StepError, SystemClock, name};
use flow_host::{Hosts, ReleaseConfig};
use flow_local::host::{HostConfig, LocalHost};
use tempfile::TempDir;

/// Where changes break, shared by all hosts of a world.
#[derive(Default)]
pub(crate) struct Breaks {
    made: AtomicUsize,
    /// Which change from now on takes effect without an answer.
    at: Mutex<Option<usize>>,
    /// How many removals from now on find a directory that something has just written into.
    pub(crate) written_into: AtomicUsize,
    /// How many copies from now on deliver something else.
    pub(crate) spoiled: AtomicUsize,
}

impl Breaks {
    pub(crate) fn at(&self, nth: usize) {
        *self.at.lock().unwrap() = Some(nth);
    }

    /// Ends the disturbance, and says whether that change was made.
    pub(crate) fn mend(&self) -> bool {
        self.at.lock().unwrap().take() == Some(0)
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn pass<T>(&self, answer: Result<T, StepError>) -> Result<T, StepError> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let mut at = self.at.lock().unwrap();
        match &mut *at {
            Some(left @ 1..) => {
                *left -= 1;
                if *left == 0 {
                    answer?;
                    return Err(StepError::in_doubt("the connection broke before an answer came"));
                }
                answer
            }
            _ => answer,
        }
    }
}

/// A host behind a connection that can break.
pub(crate) struct Breaking {
    pub(crate) host: LocalHost,
    pub(crate) breaks: Arc<Breaks>,
}

#[async_trait]
impl Host for Breaking {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        self.host.query(command).await
    }
    async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        let written_into = &self.breaks.written_into;
        let less = |left: usize| left.checked_sub(1);
        if command.program == "rm"
            && written_into.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        {
            let stderr = b"rm: cannot remove 'x': Directory not empty".to_vec();
            return Ok(CommandOutput { code: Some(1), stdout: Vec::new(), stderr });
        }
        self.breaks.pass(self.host.run(permit, command).await)
    }
    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        self.host.read(path).await
    }
    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        self.breaks.pass(self.host.write(permit, path, content).await)
    }
    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let less = |left: usize| left.checked_sub(1);
        if self.breaks.spoiled.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return self.host.write(permit, to, b"something else").await;
        }
        self.breaks.pass(self.host.copy(permit, from, to).await)
    }
    async fn remove(&self, permit: &Permit, path: &HostPath) -> Result<(), StepError> {
        self.breaks.pass(self.host.remove(permit, path).await)
    }
    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        self.host.read_link(path).await
    }
    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        self.breaks.pass(self.host.link(permit, path, target).await)
    }
    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        self.host.list(path).await
    }
}

/// Two hosts, and an artefact to place on them.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) breaks: Arc<Breaks>,
    pub(crate) artifact: Artifact,
    /// One connection to each, as a process has it: what was given up on it is known to it.
    connections: BTreeMap<&'static str, LocalHost>,
}

pub(crate) fn at(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

pub(crate) const HOSTS: [&str; 2] = ["web-1", "web-2"];

impl World {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for host in HOSTS {
            fs::create_dir_all(directory.path().join(host).join("shared/uploads")).unwrap();
            fs::create_dir_all(directory.path().join(host).join("shared/config")).unwrap();
            fs::write(directory.path().join(host).join("shared/config/app.json"), "{}").unwrap();
        }
        let connect = |host| {
            let config = HostConfig::new(directory.path().join(host));
            (host, LocalHost::open(config, Arc::new(SystemClock::new())).unwrap())
        };
        let mut world = Self {
            connections: HOSTS.map(connect).into(),
            directory,
            breaks: Arc::default(),
            artifact: Artifact { digest: Digest::of(b""), path: PathBuf::new() },
        };
        world.build("1.0.0");
        world
    }

    /// Builds a release: what is deployed from now on.
    pub(crate) fn build(&mut self, version: &str) -> String {
        let path = self.directory.path().join("built").join(version).join("shop");
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::create_dir_all(path.join("empty")).unwrap();
        fs::create_dir_all(path.join("config")).unwrap();
        fs::write(path.join("server.js"), format!("// {version}")).unwrap();
        fs::write(path.join("bin/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(path.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
        // A name longer than a plain tar header takes.
        fs::write(path.join(format!("{}.js", "long".repeat(40))), version).unwrap();
        fs::write(path.join("package-lock.json"), "lock 1").unwrap();
        self.artifact = Artifact { digest: Digest::of(version.as_bytes()), path };
        self.artifact.digest.hex()
    }

    pub(crate) fn root(&self, host: &str) -> PathBuf {
        self.directory.path().join(host)
    }

    pub(crate) fn release(&self, host: &str, hex: &str) -> PathBuf {
        self.root(host).join("releases").join(hex)
    }

    pub(crate) fn host(&self, name: &str) -> Arc<dyn Host> {
        Arc::new(Breaking { host: self.connections[name].clone(), breaks: self.breaks.clone() })
    }

    pub(crate) fn hosts(&self) -> Hosts {
        Hosts::new().and(name!("web-1"), self.host("web-1")).and(name!("web-2"), self.host("web-2"))
    }

    pub(crate) fn config(&self) -> ReleaseConfig {
        ReleaseConfig::new(name!("shop"), self.directory.path().join("archives"))
    }

    /// What a step knows after stage 2 built the artefact.
    pub(crate) fn context(&self) -> StepContext<Services> {
        let artifacts = [(name!("shop"), self.artifact.clone())].into();
        let built = Receipt::<Build>::new().facts(BuildFacts { artifacts, ..BuildFacts::default() });
        flow_testkit::context().after(name!("build"), &built).unwrap()
    }

    /// All that stands on the hosts: files with their content and whether they may be executed, links, directories.
    pub(crate) fn seen(&self) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        let mut left: Vec<PathBuf> = HOSTS.iter().map(|host| self.root(host)).collect();
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let what = if metadata.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else if metadata.is_dir() {
                    left.push(path.clone());
                    "directory".to_owned()
                } else if path.ends_with(".flow-release") {
                    // It holds the time.
                    "record".to_owned()
                } else {
                    format!(
                        "{:o} {}",
                        metadata.permissions().mode() & 0o111,
                        fs::read_to_string(&path).unwrap()
                    )
                };
                seen.insert(path.strip_prefix(self.directory.path()).unwrap().display().to_string(), what);
            }
        }
        // The directory that releases stand in is made with the first one, and stays.
        seen.retain(|path, _| !HOSTS.iter().any(|host| *path == format!("{host}/releases")));
        seen
    }
}
