use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{CancelToken, Clock, ErrorKind, Name, Permit, StepError};
use futures::future::{Either, select};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::oneshot;

use super::client::{Client, Observed};
use super::config::ProcessesConfig;
use super::health;
use super::record::{self, Record};
use crate::os::{Lock, Process, off_thread, process, refused};

const POLL: Duration = Duration::from_millis(20);

/// Starts, finds and stops processes of this machine.
///
/// Two managers on one root see the same instances and never work on the same one at once. Both must run as the same
/// user, who must be able to read `/proc`.
#[derive(Debug, Clone)]
pub struct LocalProcesses {
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
}

impl LocalProcesses {
    /// A manager over the root that `config` names, which is made where it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bad configuration, [`ErrorKind::Denied`] or [`ErrorKind::Conflict`] for a root that
    /// cannot be used.
    pub fn open(config: ProcessesConfig, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        Ok(Self { client: Arc::new(Client::open(config)?), clock })
    }

    /// The file that an instance's output is appended to. It stays when the instance is stopped.
    #[must_use]
    pub fn log(&self, service: &Name, instance: &InstanceId) -> PathBuf {
        self.client.log_path(service, instance)
    }

    async fn on_client<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let client = Arc::clone(&self.client);
        off_thread(move || work(&client)).await
    }

    /// Changes what stands of an instance. The lock goes along: dropped with this future, it would end before the
    /// work does.
    async fn under<T: Send + 'static>(
        &self,
        lock: &Lock,
        work: impl FnOnce(&Client) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let lock = lock.clone();
        self.on_client(move |client| {
            let result = work(client);
            drop(lock);
            result
        })
        .await
    }

    async fn find(&self, service: &Name, instance: &InstanceId) -> Result<Option<Record>, StepError> {
        let (service, instance) = (service.clone(), instance.clone());
        self.on_client(move |client| client.find(&service, &instance)).await
    }

    async fn lock(&self, service: &Name, instance: &InstanceId) -> Result<Lock, StepError> {
        Lock::take(&*self.clock, self.client.lock_path(service, instance)?).await
    }

    /// The instance that `spec` asks for, if it runs already. What is left of one that has ended is cleared away.
    async fn adopt(&self, lock: &Lock, spec: &LaunchSpec) -> Result<Option<Instance>, StepError> {
        let Some(record) = self.find(&spec.service, &spec.instance).await? else { return Ok(None) };
        let observed = self.observe(&record).await?;
        let Some(leader) = observed.leader else {
            self.end(lock, &record, Duration::ZERO, None).await?;
            return Ok(None);
        };
        if record.spec.digest != spec.digest {
            return Err(StepError::new(
                ErrorKind::Conflict,
                "the id is taken by an instance of another digest",
            )
            .fact("instance", &spec.instance)
            .fact("running", record.spec.digest)
            .fact("wanted", spec.digest));
        }
        if record.process.is_none() {
            self.record_running(lock, record.clone(), leader).await?;
        }
        Ok(Some(record.instance(leader)))
    }

    async fn observe(&self, record: &Record) -> Result<Observed, StepError> {
        let record = record.clone();
        self.on_client(move |client| client.observe(&record)).await
    }

    async fn record_running(
        &self,
        lock: &Lock,
        mut record: Record,
        leader: Process,
    ) -> Result<(), StepError> {
        record.process = Some(self.client.identify(leader, &*self.clock));
        self.under(lock, move |client| client.write(&record)).await
    }

    async fn reserve(&self, lock: &Lock, spec: &LaunchSpec) -> Result<Record, StepError> {
        let addresses = Lock::take(&*self.clock, self.client.ports_lock_path()).await?;
        let spec = spec.clone();
        self.under(lock, move |client| {
            let reserved = client.reserve(&spec);
            drop(addresses);
            reserved
        })
        .await
    }

    /// Starts a reserved instance and returns when it was seen running for a while.
    async fn start(&self, lock: &Lock, record: &Record) -> Result<Instance, StepError> {
        let (child, log_from) = self.client.start(&*self.clock, record).await?;
        // Not reaped yet, so its entry in the process table stands even if it has ended.
        let leader = child.id().map(process).transpose()?.flatten();
        let exit = reap(child);
        let Some(leader) = leader else {
            return Err(self.ended(record, log_from, exit.await.ok()).await);
        };
        self.record_running(lock, record.clone(), leader).await?;
        match select(exit, self.clock.sleep(self.client.config.watch)).await {
            Either::Left((status, _)) => Err(self.ended(record, log_from, status.ok()).await),
            Either::Right(_) => Ok(record.instance(leader)),
        }
    }

    async fn ended(&self, record: &Record, log_from: u64, status: Option<ExitStatus>) -> StepError {
        let spec = record.spec.clone();
        let log = self.on_client(move |client| Ok(client.log_tail(&spec, log_from))).await;
        StepError::new(ErrorKind::Failed, "the process ended as soon as it was started")
            .fact("instance", &record.spec.instance)
            .fact("status", status.map_or_else(|| "unknown".to_owned(), |status| status.to_string()))
            .fact("log", log.unwrap_or_default())
    }

    /// Ends everything that runs of an instance, observes it gone and forgets it.
    async fn end(
        &self,
        lock: &Lock,
        record: &Record,
        grace: Duration,
        cancel: Option<&CancelToken>,
    ) -> Result<(), StepError> {
        let ended = async {
            self.end_processes(record, grace, cancel).await?;
            let record = record.clone();
            self.under(lock, move |client| client.forget(&record)).await
        };
        ended.await.map_err(StepError::after_effect)
    }

    async fn end_processes(
        &self,
        record: &Record,
        grace: Duration,
        cancel: Option<&CancelToken>,
    ) -> Result<(), StepError> {
        let begun = self.clock.monotonic();
        let settled = grace.saturating_add(self.client.config.settle);
        let mut asked = false;
        loop {
            let observed = self.observe(record).await?;
            let waited = self.clock.monotonic().saturating_sub(begun);
            if observed.members.is_empty() {
                return Ok(());
            } else if waited >= settled {
                return Err(still_runs(record, &observed.members));
            } else if waited >= grace {
                Client::signal(&observed, Signal::KILL)?;
            } else if !asked {
                Client::signal(&observed, Signal::TERM)?;
                asked = true;
            }
            self.pause(cancel).await?;
        }
    }

    async fn pause(&self, cancel: Option<&CancelToken>) -> Result<(), StepError> {
        let nap = self.clock.sleep(POLL);
        let Some(cancel) = cancel else {
            nap.await;
            return Ok(());
        };
        match select(pin!(cancel.cancelled()), nap).await {
            Either::Left(_) => {
                Err(StepError::new(ErrorKind::Cancelled, "cancelled while the instance was ending"))
            }
            Either::Right(_) => Ok(()),
        }
    }
}

#[async_trait]
impl ProcessManager for LocalProcesses {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        record::check(spec)?;
        exists(&spec.program, "the program does not exist", "program")?;
        exists(&spec.directory, "the working directory does not exist", "directory")?;
        if permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before the instance was started"));
        }
        let lock = self.lock(&spec.service, &spec.instance).await?;
        if let Some(running) = self.adopt(&lock, spec).await? {
            return Ok(running);
        }
        let record = self.reserve(&lock, spec).await?;
        match self.start(&lock, &record).await {
            Ok(instance) => Ok(instance),
            Err(error) => {
                let ended = self.end(&lock, &record, Duration::ZERO, None).await;
                ended.map_err(|standing| standing.fact("begun by", &error))?;
                lock.remove();
                Err(error)
            }
        }
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let service = service.clone();
        self.on_client(move |client| {
            let mut running = Vec::new();
            for record in client.records(&service)? {
                running.extend(client.leader(&record)?.map(|leader| record.instance(leader)));
            }
            Ok(running)
        })
        .await
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let record = self.find(service, instance).await?;
        let running = self
            .on_client(move |client| match record {
                Some(record) => Ok(client.leader(&record)?.map(|_| record.spec)),
                None => Ok(None),
            })
            .await?;
        running.ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "no such instance runs")
                .fact("service", service)
                .fact("instance", instance)
        })
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let Some(record) = self.find(service, instance).await? else { return Ok(Health::Gone) };
        let runs = || {
            let record = record.clone();
            self.on_client(move |client| Ok(client.leader(&record)?.is_some()))
        };
        if !runs().await? {
            return Ok(Health::Gone);
        }
        let health = health::ask(&*self.clock, &record.address, &record.spec.health).await;
        // An answer of a process that has ended since, or of whoever got its port, is none.
        if runs().await? { Ok(health) } else { Ok(Health::Gone) }
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        let lock = self.lock(service, instance).await?;
        if let Some(record) = self.find(service, instance).await? {
            self.end(&lock, &record, grace, Some(permit.cancel())).await?;
        }
        lock.remove();
        Ok(())
    }
}

/// Waits for a process in a task of its own, so that it never stays behind as a zombie.
fn reap(mut child: Child) -> oneshot::Receiver<ExitStatus> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            // Nobody listens once the launch is over.
            let _ = tell.send(status);
        }
    });
    told
}

fn exists(path: &Path, message: &'static str, field: &'static str) -> Result<(), StepError> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(StepError::new(ErrorKind::NotFound, message).fact(field, path.display())),
        Err(error) => Err(refused("the path cannot be looked at", path, error)),
    }
}

fn still_runs(record: &Record, members: &[Process]) -> StepError {
    let pids: Vec<String> = members.iter().map(|member| member.pid.to_string()).collect();
    StepError::new(ErrorKind::TimedOut, "the instance is still running after it was killed")
        .fact("instance", &record.spec.instance)
        .fact("pids", pids.join(", "))
}
