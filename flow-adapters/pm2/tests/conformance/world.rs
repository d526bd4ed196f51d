//! A PM2 of the test's own, and what it looks like from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::{Health, HealthCheck, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Clock, Digest, Name, StepError, SystemClock, name};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes, Restart};
use flow_proving::app::Behaviour;
use flow_proving::server::{Pm2, Pm2Version};
use flow_proving::table::Process;
use flow_proving::{Directory, Outside, until};
use flow_testkit::permit;
use serde_json::Value;

pub(crate) static WEB: Name = name!("web");
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A PM2 home, a manager over it, and applications below one directory.
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) pm2: Pm2,
    pub(crate) config: Pm2Config,
    pub(crate) manager: Pm2Processes,
}

impl World {
    /// One on sockets, with a daemon that runs.
    pub(crate) async fn new() -> Outside<Self> {
        Self::with(|config, _| config).await
    }

    pub(crate) async fn with(change: impl FnOnce(Pm2Config, &Path) -> Pm2Config) -> Outside<Self> {
        let world = Self::without_daemon(Pm2Version::Seven, change)?;
        world.pm2.revive().await?;
        Ok(world)
    }

    pub(crate) fn without_daemon(
        version: Pm2Version,
        change: impl FnOnce(Pm2Config, &Path) -> Pm2Config,
    ) -> Outside<Self> {
        let directory = Directory::new()?;
        let pm2 = Pm2::absent(&directory, version)?;
        // PM2's command asks a server for news in a home without this, and hangs where that does not answer.
        fs::write(pm2.home().join("touch"), "")?;
        let sockets = Addresses::Sockets { directory: directory.path().join("run") };
        let mut config = Pm2Config::new(pm2.home(), directory.path().join("state"), sockets);
        config.settle = Duration::from_millis(50);
        config.settle_again = Duration::from_millis(150);
        let config = change(config, directory.path());
        let manager = open(&config)?;
        Ok(Self { directory, pm2, config, manager })
    }

    /// Another manager on the same home: the next controller.
    pub(crate) fn next_controller(&self) -> Outside<Pm2Processes> {
        open(&self.config)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What launches the application as `instance`, with this behaviour.
    pub(crate) fn app(&self, instance: &str, behaviour: &Behaviour) -> Outside<LaunchSpec> {
        let release = self.path(&format!("release-{instance}"));
        let script = behaviour.write_to(&release)?;
        Ok(node(instance, &release, &script))
    }

    pub(crate) async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, StepError> {
        self.manager.launch(&permit(), spec).await
    }

    pub(crate) async fn stop(&self, instance: &str) -> Result<(), StepError> {
        self.manager.stop(&permit(), &WEB, &named(instance), GRACE).await
    }

    pub(crate) async fn health(&self, instance: &str) -> Result<Health, StepError> {
        self.manager.health(&WEB, &named(instance)).await
    }

    pub(crate) async fn until_healthy(&self, instance: &str) -> Outside<()> {
        let healthy = async || Ok(self.health(instance).await?.is_healthy().then_some(()));
        until("the instance is healthy", healthy).await
    }

    /// What PM2's own command says of its apps, by name.
    pub(crate) fn listed(&self) -> Outside<BTreeMap<String, Value>> {
        let printed = self.pm2.run(["jlist"])?.stdout;
        let list: Vec<Value> = serde_json::from_slice(&printed)?;
        let name = |app: &Value| app["name"].as_str().unwrap_or_default().to_owned();
        Ok(list.into_iter().map(|app| (name(&app), app)).collect())
    }

    /// The processes that run as instances of this home: service, instance, process. By their environment alone.
    pub(crate) fn running(&self) -> Vec<(String, String, Process)> {
        let read = |process: Process| {
            let environment = process.environment();
            let record = environment.iter().find_map(|entry| entry.strip_prefix("FLOW_PM2_INSTANCE="))?;
            let record: Value = serde_json::from_str(record).ok()?;
            let text = |path: &str| record.pointer(path)?.as_str().map(ToOwned::to_owned);
            let ours = text("/home")? == self.pm2.home().to_str()?;
            ours.then_some((text("/spec/service")?, text("/spec/instance")?, process))
        };
        processes().filter_map(read).collect()
    }

    pub(crate) fn pids(&self, instance: &str) -> Vec<u32> {
        let of_instance = self.running().into_iter().filter(|(_, id, _)| id == instance);
        of_instance.map(|(_, _, process)| process.pid).collect()
    }
}

fn open(config: &Pm2Config) -> Outside<Pm2Processes> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Ok(Pm2Processes::open(config.clone(), clock)?)
}

/// Every process that runs.
pub(crate) fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::of)
}

/// Where `node` is.
pub(crate) fn node_path() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join("node")).find(|node| node.exists()).unwrap()
}

/// What runs a script with node.
pub(crate) fn node(instance: &str, directory: &Path, script: &Path) -> LaunchSpec {
    LaunchSpec {
        service: WEB.clone(),
        instance: named(instance),
        version: named("1.0.0"),
        digest: Digest::of(b"1.0.0"),
        program: node_path(),
        args: vec![script.display().to_string(), "{address}".to_owned()],
        env: BTreeMap::new(),
        directory: directory.to_owned(),
        health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(5) },
    }
}

pub(crate) fn named(text: &str) -> InstanceId {
    Name::new(text).unwrap()
}

/// Instances on ports of the test's own.
pub(crate) fn on_ports(mut config: Pm2Config) -> Pm2Config {
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    config.mode = flow_pm2::Mode::Colours { addresses: Addresses::Ports { first, last: first + 1999 } };
    config
}

/// Instances that stay dead when they end.
pub(crate) fn never_restarted(mut config: Pm2Config) -> Pm2Config {
    config.restart = Restart::Never;
    config
}
