use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use serde_json::Value;

use super::app::{self, App};
use super::bus::Bus;
use super::call::{Call, Prepare};
use super::command::{self, Command};
use super::error::CallError;
use super::rpc::Rpc;
use crate::config::{Daemon, Pm2Config};
use crate::file::{self, Lock};

/// How long the daemon may take to start.
const START: Duration = Duration::from_secs(30);

/// One `PM2_HOME` and the daemon in it.
#[derive(Debug)]
pub(crate) struct Home {
    clock: Arc<dyn Clock>,
    path: PathBuf,
    daemon: Daemon,
    rpc: Rpc,
    bus: Bus,
}

impl Home {
    pub(crate) fn new(config: &Pm2Config, clock: Arc<dyn Clock>) -> Self {
        let socket = |name: &str| config.sockets.as_ref().unwrap_or(&config.home).join(name);
        Self {
            path: config.home.clone(),
            daemon: config.daemon.clone(),
            rpc: Rpc::new(Arc::clone(&clock), socket("rpc.sock"), config.answer),
            bus: Bus::new(socket("pub.sock")),
            clock,
        }
    }

    pub(crate) const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The daemon's version.
    pub(crate) async fn version(&self) -> Result<String, CallError> {
        self.rpc.version().await
    }

    /// All apps; without a daemon there are none.
    pub(crate) async fn apps(&self) -> Result<Vec<App>, StepError> {
        let mut listed = app::list(&self.rpc).await;
        if matches!(listed, Err(CallError::Lost)) {
            // The kept connection had ended unnoticed. Looking twice changes nothing.
            listed = app::list(&self.rpc).await;
        }
        match listed {
            Err(CallError::Absent(absence)) if absence.is_vacancy() => Ok(Vec::new()),
            listed => listed.map_err(CallError::of_a_look),
        }
    }

    /// Returns when there is a daemon that tells us everything from now on. One that is missing is started where the configuration
    /// says how; `lock` makes sure that nobody else does.
    pub(crate) async fn ready(&self, lock: PathBuf) -> Result<(), StepError> {
        let mut reached = self.reach().await;
        if matches!(reached, Err(CallError::Lost)) {
            reached = self.reach().await;
        }
        let is_vacant = matches!(&reached, Err(CallError::Absent(absence)) if absence.is_vacancy());
        if let (true, Daemon::Start { pm2, path }) = (is_vacant, &self.daemon) {
            // Who holds it starts a daemon and then asks it.
            let _lock = Lock::take(&*self.clock, lock, START.saturating_mul(2)).await?;
            if self.reach().await.is_err() {
                self.start(pm2, path).await?;
            }
            reached = self.reach().await;
        }
        reached.map_err(CallError::of_a_look)
    }

    /// Makes sure that the daemon answers now, and listens to it.
    async fn reach(&self) -> Result<(), CallError> {
        self.rpc.call(&Call::Ping).await?;
        self.listen().await
    }

    /// Listens where there is a daemon to listen to.
    pub(crate) async fn listen(&self) -> Result<(), CallError> {
        self.bus.listen(&self.rpc).await
    }

    async fn start(&self, pm2: &Path, path: &str) -> Result<(), StepError> {
        let home = self.path.display().to_string();
        let mut env = BTreeMap::from([("PM2_HOME", home.clone()), ("HOME", home), ("PATH", path.to_owned())]);
        // PM2's command asks its maker's server for news the first time, and hangs where that does not answer.
        for quiet in ["PM2_DISCRETE_MODE", "PM2_DISABLE_VERSION_CHECK", "PM2_NO_INTERACTION"] {
            env.insert(quiet, "true".to_owned());
        }
        let ping = Command {
            program: pm2,
            args: vec!["ping".into()],
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            directory: Path::new("/"),
            timeout: START,
            output: 1024 * 1024,
        };
        let unstarted = |error| {
            StepError::new(ErrorKind::TimedOut, "PM2's daemon could not be started")
                .fact("pm2", pm2.display())
                .because(error)
        };
        command::run(&*self.clock, ping).await.map(drop).map_err(unstarted)
    }

    /// Starts an app and gives its number and its process's id, if it has one.
    pub(crate) async fn prepare(&self, app: &Prepare) -> Result<(u64, Option<u32>), CallError> {
        let prepared = self.rpc.call(&Call::Prepare(app)).await?;
        let number = |path: &str| prepared.pointer(path).and_then(Value::as_u64);
        let id = number("/0/pm2_env/pm_id").ok_or(CallError::Unreadable("prepare"))?;
        Ok((id, number("/0/process/pid").and_then(|pid| u32::try_from(pid).ok())))
    }

    /// Stops an app and forgets it; returns when PM2 has seen its process gone, or after `patience`.
    pub(crate) async fn delete(&self, id: u64, patience: Duration) -> Result<(), CallError> {
        self.rpc.call_within(&Call::Delete(id), patience).await.map(drop)
    }

    /// Starts the process of an app again.
    pub(crate) async fn restart(&self, id: u64) -> Result<(), CallError> {
        self.rpc.call(&Call::Restart(id)).await.map(drop)
    }

    /// Writes the list as `pm2 save` does, but readable by this user alone and whole at every moment. The list before it is kept
    /// beside it, as PM2 does.
    pub(crate) async fn save(&self) -> Result<usize, StepError> {
        let dump: Vec<Value> = self.apps().await?.into_iter().filter_map(App::into_dump).collect();
        if dump.is_empty() {
            return Err(StepError::new(
                ErrorKind::Failed,
                "PM2's list is empty: what was saved before stands",
            ));
        }
        let written = serde_json::to_vec(&dump).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "PM2's list has no JSON form").because(error)
        })?;
        let saved = self.path.join("dump.pm2");
        if let Some(before) = file::read(&saved)? {
            file::replace(&self.path.join("dump.pm2.bak"), &before)?;
        }
        file::replace(&saved, &written).map_err(StepError::after_effect)?;
        Ok(dump.len())
    }
}
