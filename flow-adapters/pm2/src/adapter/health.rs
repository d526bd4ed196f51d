use flow_core::Name;
use flow_core::StepError;
use flow_core::port::{Health, InstanceId};
use flow_linux::Process;

use super::found::Found;
use super::note::{self, Note};
use super::outside::Member;
use super::probe;
use super::processes::Pm2Processes;
use super::record::{Record, app_name};
use crate::client::CallError;
use crate::config::Mode;

impl Pm2Processes {
    /// Judges an instance by what can be observed of it now; what PM2 calls its status proves nothing.
    pub(super) async fn judge(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let mut found = self.look_in_list(service, instance).await?;
        if found.leader.is_none() {
            found = self.look(service, instance).await?;
        }
        let (Some(leader), Some(record)) = (&found.leader, &found.record) else { return Ok(Health::Gone) };
        let verdict = match self.evidence(&found, leader, record).await? {
            Ok(()) => self.has_settled(&found, leader, service),
            not_ready => {
                self.settled.not_ready(service, leader.id);
                not_ready
            }
        };
        if let Err(reason) = verdict {
            return Ok(Health::Unhealthy { reason });
        }
        // An answer of a process that has ended since is none.
        if self.outside.running(leader.id.pid).await?.is_some_and(|now| now.id == leader.id) {
            Ok(Health::Healthy)
        } else {
            Ok(Health::Gone)
        }
    }

    /// What speaks for it that a running instance is ready: nothing does not.
    async fn evidence(
        &self,
        found: &Found,
        leader: &Process,
        record: &Record,
    ) -> Result<Result<(), String>, StepError> {
        if found.is_stopping() {
            return Ok(Err("it is being stopped".to_owned()));
        }
        if found.app.as_ref().is_some_and(|app| app.pid != Some(leader.id.pid)) {
            return Ok(Err("PM2 has its app, and does not know the process that runs as it".to_owned()));
        }
        // First of all, because it is told only once.
        if self.config.readiness.needs_message() && !self.said_ready(found, leader, record).await? {
            return Ok(Err("it has not said that it is ready, or nobody heard it".to_owned()));
        }
        if self.config.readiness.needs_probe()
            && let Err(reason) = probe::ask(&*self.clock, &record.address, &record.spec.health).await
        {
            return Ok(Err(reason));
        }
        if matches!(self.config.mode, Mode::Colours { .. }) {
            return self.listens(leader, record).await;
        }
        Ok(Ok(()))
    }

    /// Whether a process that is ready has been so for long enough.
    fn has_settled(&self, found: &Found, leader: &Process, service: &Name) -> Result<(), String> {
        let restarts = found.restarts();
        let settle = if restarts == 0 { self.config.settle } else { self.config.settle_again };
        let times = (self.clock.monotonic(), self.outside.age(leader.id));
        self.settled.ready(service, leader.id, times, settle).map_err(|ready_for| {
            let again = if restarts == 0 {
                String::new()
            } else {
                format!(" since PM2 started it again, {restarts} times by now")
            };
            format!("it has been ready for {ready_for:?}{again}, and must for {settle:?}")
        })
    }

    /// Whether the process said that it is ready; what was heard is noted.
    async fn said_ready(&self, found: &Found, leader: &Process, record: &Record) -> Result<bool, StepError> {
        let spec = &record.spec;
        let note = Note::of(leader.id, self.outside.machine().boot_id().await?);
        let path = note::path(&self.config.state, &spec.service, &spec.instance);
        if note.stands(&path)? {
            return Ok(true);
        }
        if found.app.is_none() {
            return Ok(false);
        }
        self.home.listen().await.map_err(CallError::of_a_look)?;
        let name = app_name(&spec.service, &spec.instance);
        let heard = self.home.bus().follow(&name, found.restarts()).ready == Some(found.restarts());
        if heard {
            note.write(&path)?;
        }
        Ok(heard)
    }

    /// Whether who listens at the instance's address is the instance: after a daemon was killed it may be the process that the daemon
    /// before had started there, while PM2 calls its own crash loop online.
    async fn listens(&self, leader: &Process, record: &Record) -> Result<Result<(), String>, StepError> {
        let address = &record.address;
        if self.outside.holder(address, &[leader.id.pid]).await?.is_some() {
            return Ok(Ok(()));
        }
        let members = self.outside.members(&record.spec.service).await?;
        if self.outside.holder(address, &descendants(leader, &members)).await?.is_some() {
            return Ok(Ok(()));
        }
        let listening = self.outside.is_listening(address).await?;
        let who = if listening { "another process listens" } else { "nobody listens" };
        Ok(Err(format!("{who} at its address `{address}`")))
    }
}

/// The processes below `leader`, which are ordered by their start: a child comes after its parent.
fn descendants(leader: &Process, members: &[Member]) -> Vec<u32> {
    let mut tree = vec![leader.id.pid];
    for member in members {
        if tree.contains(&member.process.parent) {
            tree.push(member.process.id.pid);
        }
    }
    tree
}
