use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::{HealthCheck, Instance, LaunchSpec, ProcessManager};
use flow_core::{Digest, Name, StepError, SystemClock, name};
use flow_local::process::{LocalProcesses, ProcessesConfig};
use flow_testkit::permit;
use serde_json::Value;
use tempfile::TempDir;

use crate::outside;

pub(super) static WEB: Name = name!("web");
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// A manager over a root of its own. Whatever still runs of it is killed at the end, also of a failed test.
pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) manager: LocalProcesses,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(super) fn with(change: impl FnOnce(ProcessesConfig) -> ProcessesConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = change(ProcessesConfig::new(directory.path().join("root")));
        let manager = LocalProcesses::open(config, Arc::new(SystemClock::new())).unwrap();
        Self { directory, manager }
    }

    /// Another manager on the same root: the next controller.
    pub(super) fn next_controller(&self) -> LocalProcesses {
        LocalProcesses::open(ProcessesConfig::new(self.root()), Arc::new(SystemClock::new())).unwrap()
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn state_file(&self, instance: &str) -> PathBuf {
        self.root().join(format!("instances/web/{instance}.json"))
    }

    pub(super) fn state(&self, instance: &str) -> Value {
        serde_json::from_slice(&fs::read(self.state_file(instance)).unwrap()).unwrap()
    }

    /// Changes what stands in a state file.
    pub(super) fn forge(&self, instance: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state(instance);
        change(&mut state);
        fs::write(self.state_file(instance), serde_json::to_vec(&state).unwrap()).unwrap();
    }

    pub(super) async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, StepError> {
        self.manager.launch(&permit(), spec).await
    }

    pub(super) async fn stop(&self, instance: &str, grace: Duration) -> Result<(), StepError> {
        self.manager.stop(&permit(), &WEB, &named(instance), grace).await
    }

    pub(super) async fn pids(&self) -> Vec<u32> {
        self.manager.instances(&WEB).await.unwrap().iter().map(|instance| instance.pid.unwrap()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in outside::processes_of(&self.root()) {
            kill(pid);
        }
    }
}

/// A process that is nobody's instance: a child of this test, which does not reap it before the end.
pub(super) struct Bystander(Child);

impl Bystander {
    pub(super) fn new() -> Self {
        let mut sleep = Command::new("/bin/sleep");
        sleep.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(sleep.spawn().unwrap())
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn named(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Kills one process that the test has started.
pub(super) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// An instance that runs `program`.
pub(super) fn spec(instance: &str, program: impl Into<PathBuf>, args: &[&str]) -> LaunchSpec {
    LaunchSpec {
        service: WEB.clone(),
        instance: named(instance),
        version: named("1.0.0"),
        digest: Digest::of(b"1.0.0"),
        program: program.into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
        directory: PathBuf::from("/"),
        health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(5) },
    }
}

/// An instance that runs a shell script.
pub(super) fn script(instance: &str, script: &str) -> LaunchSpec {
    spec(instance, "/bin/sh", &["-c", script])
}

/// An instance that only runs.
pub(super) fn sleeper(instance: &str) -> LaunchSpec {
    spec(instance, "/bin/sleep", &["1000"])
}

/// Ports in a row that are free, held until they are dropped.
pub(super) fn ports_in_a_row(count: u16) -> (u16, Vec<TcpListener>) {
    let own = u16::try_from(std::process::id() % 9000).unwrap();
    (0..9000)
        .map(|step| 20_000 + (own + step) % 9000)
        .find_map(|first| {
            let held = (first..first + count).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
            held.collect::<Result<Vec<_>, _>>().ok().map(|held| (first, held))
        })
        .unwrap()
}

/// Reads a number that a child writes into a file.
pub(super) async fn number_in(path: &Path) -> u32 {
    let number = || fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok();
    outside::until("a child has written its number", || number().is_some()).await;
    number().unwrap()
}
