use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Clock, ErrorKind, Name, Permit, StepError};
use flow_linux::Machine;

use super::found::Found;
use super::outside::{Outside, Place};
use super::record::{self, app_name};
use super::settled::Settled;
use crate::client::{App, CallError, Home};
use crate::config::Pm2Config;
use crate::file::Lock;

/// An app as PM2 lists it, ours or not. What it calls the status proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedApp {
    /// PM2's number for it. Numbers are used again.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// What PM2 calls its status.
    pub status: String,
    /// How often PM2 has started it again.
    pub restarts: u64,
}

/// Starts, finds and stops instances under PM2's daemon.
///
/// Two managers on one home and one state directory see the same instances and never work on the same one at once. A clone is the same
/// manager: it keeps one connection for calls and one for events.
#[derive(Debug, Clone)]
pub struct Pm2Processes {
    pub(super) config: Arc<Pm2Config>,
    pub(super) home: Arc<Home>,
    pub(super) outside: Arc<Outside>,
    pub(super) settled: Arc<Settled>,
    pub(super) place: Place,
    pub(super) clock: Arc<dyn Clock>,
}

impl Pm2Processes {
    /// A manager over the PM2 that `config` names, on this machine. Nothing is connected or started yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bad configuration, with every problem by its field's name.
    pub fn open(config: Pm2Config, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        Self::at(config, Machine::local(), Place::Here, clock)
    }

    /// A manager over the PM2 of another machine, whose sockets are forwarded to where [`Pm2Config::sockets`] says and whose process table
    /// is `machine`'s.
    ///
    /// Files over there, such as a stale socket, are not touched, and who holds a listening socket cannot be read.
    /// Addresses are probed from here: they must be forwarded to the same paths and ports, or readiness be told by message.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(config: Pm2Config, machine: Machine, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        Self::at(config, machine, Place::Elsewhere, clock)
    }

    fn at(
        config: Pm2Config,
        machine: Machine,
        place: Place,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StepError> {
        config.check()?;
        Ok(Self {
            home: Arc::new(Home::new(&config, Arc::clone(&clock))),
            outside: Arc::new(Outside::new(machine, place, config.home.clone(), Arc::clone(&clock))),
            settled: Arc::default(),
            config: Arc::new(config),
            place,
            clock,
        })
    }

    /// The daemon's version.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] without a daemon, [`ErrorKind::Denied`] where its socket is another user's,
    /// [`ErrorKind::Conflict`] for a version other than 5, 6 and 7, [`ErrorKind::TimedOut`] where it does not answer. The cause is an
    /// [`Absence`](crate::Absence) or a [`CallError`](crate::CallError).
    pub async fn version(&self) -> Result<String, StepError> {
        self.home.version().await.map_err(CallError::of_a_look)
    }

    /// Everything that PM2 lists, in its order, without environments: what `pm2 jlist` is asked for.
    ///
    /// # Errors
    /// As [`version`](Self::version), but without a daemon the list is empty.
    pub async fn listed(&self) -> Result<Vec<ListedApp>, StepError> {
        let listed = |app: App| ListedApp {
            id: app.id,
            status: app.status_text().to_owned(),
            name: app.name,
            pid: app.pid,
            restarts: app.restarts,
        };
        Ok(self.home.apps().await?.into_iter().map(listed).collect())
    }

    /// Saves PM2's list for `pm2 resurrect`, as `pm2 save` does, but readable by this user alone, written beside, fsynced and renamed; the
    /// list before it becomes `dump.pm2.bak`. Nothing else of this crate saves it. Gives how many apps were saved. Safe to repeat.
    ///
    /// The list holds the environment of every app in clear: that is PM2's format.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] for an empty list, which is more often a daemon that has just been started than the truth; any kind without a
    /// daemon or where the file cannot be written.
    pub async fn save(&self, _permit: &Permit) -> Result<usize, StepError> {
        self.home.save().await
    }

    /// Starts the process of an instance again, in the same app: for what must read its configuration anew. Returns when PM2 has started
    /// it; it is healthy when it has settled as one that PM2 started again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such an instance under PM2, any kind from the daemon.
    pub async fn restart(
        &self,
        _permit: &Permit,
        service: &Name,
        instance: &InstanceId,
    ) -> Result<(), StepError> {
        let _lock = self.lock(service, instance).await?;
        let found = self.look(service, instance).await?;
        match found.app {
            Some(app) => Ok(self.home.restart(app.id).await?),
            None => Err(unknown(service, instance)),
        }
    }

    /// The app of an instance, if PM2 knows one.
    pub(super) async fn app(&self, service: &Name, instance: &InstanceId) -> Result<Option<App>, StepError> {
        let name = app_name(service, instance);
        Ok(self.home.apps().await?.into_iter().find(|app| app.name == name))
    }

    pub(super) async fn lock(&self, service: &Name, instance: &InstanceId) -> Result<Lock, StepError> {
        let path = self.lock_path().join("instances").join(service.as_str()).join(instance.as_str());
        Lock::take(&*self.clock, path.with_added_extension("lock")).await
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.config.state.join("locks")
    }
}

#[async_trait]
impl ProcessManager for Pm2Processes {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        record::check(spec)?;
        self.check_files(spec)?;
        if permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before the instance was started"));
        }
        let _lock = self.lock(&spec.service, &spec.instance).await?;
        self.home.ready(self.lock_path().join("daemon.lock")).await?;
        match self.adopt(permit, spec).await? {
            Some(running) => Ok(running),
            None => self.start(permit, spec).await,
        }
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let mut instances: Vec<Instance> = Vec::new();
        for found in self.look_for_all(service).await? {
            instances.extend(found.instance());
        }
        instances.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(instances)
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let found: Found = self.look(service, instance).await?;
        let runs = found.leader.is_some();
        found.record.filter(|_| runs).map(|record| record.spec).ok_or_else(|| unknown(service, instance))
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        self.judge(service, instance).await
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: std::time::Duration,
    ) -> Result<(), StepError> {
        let mut problems = flow_core::Problems::default();
        problems.check(
            grace <= self.config.longest_grace,
            "grace",
            "is longer than `longest_grace`, after which PM2 kills it",
        );
        problems.into_result()?;
        let _lock = self.lock(service, instance).await?;
        self.end(permit, service, instance, grace, Some(permit.cancel())).await
    }
}

fn unknown(service: &Name, instance: &InstanceId) -> StepError {
    StepError::new(ErrorKind::NotFound, "no such instance runs")
        .fact("service", service)
        .fact("instance", instance)
}
