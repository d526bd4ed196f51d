//! "Another" machine: this one, behind an SSH server of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::SystemClock;
use flow_core::port::{Command, HostPath};
use flow_proving::server::Sshd;
use flow_proving::table::{self, Process};
use flow_proving::{Directory, Outside};
use flow_ssh::{Identity, SshConfig, SshHost, SshPatience};

use super::relay::Relay;

/// A server, the wire to it, a root beside a directory that nothing may reach, and places for what tests arrange.
pub(crate) struct Machine {
    pub(crate) sshd: Sshd,
    pub(crate) relay: Relay,
    pub(crate) host: SshHost,
    pub(crate) config: SshConfig,
    directory: Directory,
}

impl Machine {
    pub(crate) async fn start() -> Self {
        Self::with(|config| config).await
    }

    /// One whose host is configured as `change` makes it.
    pub(crate) async fn with(change: impl FnOnce(SshConfig) -> SshConfig) -> Self {
        Self::begin(change).await.unwrap()
    }

    async fn begin(change: impl FnOnce(SshConfig) -> SshConfig) -> Outside<Self> {
        let directory = Directory::new()?;
        for name in ["root", "outside", "ids", "local", "sockets"] {
            fs::create_dir(directory.path().join(name))?;
        }
        fs::write(directory.path().join("outside/secret"), "secret")?;
        let sshd = Sshd::start(&directory).await?;
        let relay = Relay::to(sshd.port()).await?;
        let key = fs::read_to_string(directory.path().join("host_key.pub"))?;
        let known_hosts = directory.path().join("relay_known_hosts");
        fs::write(&known_hosts, format!("[127.0.0.1]:{} {key}", relay.port()))?;
        let identity = Identity::File { path: sshd.key(), passphrase: None };
        let root = directory.path().join("root").display().to_string();
        let config = change(SshConfig {
            port: relay.port(),
            sockets: directory.path().join("sockets"),
            grace: Duration::from_millis(100),
            ..SshConfig::new("127.0.0.1", sshd.user(), identity, known_hosts, root)
        });
        let host = open(config.clone());
        Ok(Self { sshd, relay, host, config, directory })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.at("root").join(name)
    }

    /// The server's processes that serve connections, and what runs for these.
    pub(crate) fn sessions(&self) -> Vec<Process> {
        table::descendants(self.sshd.process().pid).into_iter().collect()
    }

    /// The value of an environment variable that [`marked`](Self::marked) finds.
    pub(crate) fn mark(&self, mark: &str) -> String {
        self.at(mark).display().to_string()
    }

    /// The processes that have a mark in their environment.
    pub(crate) fn marked(&self, mark: &str) -> Vec<Process> {
        table::environment_names(&self.at(mark)).into_iter().collect()
    }
}

pub(crate) fn open(config: SshConfig) -> SshHost {
    SshHost::new(config, Arc::new(SystemClock::new())).unwrap()
}

/// A host that gives up soon.
pub(crate) fn impatient(config: SshConfig) -> SshConfig {
    let (answer, silence) = (Duration::from_secs(2), Duration::from_secs(3));
    SshConfig { patience: SshPatience { answer, silence, ..config.patience }, ..config }
}

pub(crate) fn at(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

pub(crate) fn shell(script: &str) -> Command {
    Command::new("sh", ["-c", script])
}

/// Waits for something to hold: on a machine that is busy with other things too, so for a while longer than for what
/// happens here alone.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut waited = Ok(());
    for _ in 0..6 {
        waited = flow_proving::until(what, || std::future::ready(Ok(holds().then_some(())))).await;
        if waited.is_ok() {
            break;
        }
    }
    waited.unwrap();
}
