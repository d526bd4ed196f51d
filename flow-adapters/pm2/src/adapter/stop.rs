use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::InstanceId;
use flow_core::{CancelToken, ErrorKind, Name, Permit, StepError};
use flow_linux::{ProcessId, Signal};
use futures::future::{Either, select};

use super::found::Found;
use super::note;
use super::outside::Place;
use super::processes::Pm2Processes;
use super::record::app_name;
use crate::client::{CallError, Status};
use crate::file;

const POLL: Duration = Duration::from_millis(10);

impl Pm2Processes {
    /// Ends everything that there is of an instance, in PM2's list and in the process table, observes it gone and forgets it.
    pub(super) async fn end(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
        cancel: Option<&CancelToken>,
    ) -> Result<(), StepError> {
        let mut found = self.look(service, instance).await?;
        let socket = found.record.as_ref().and_then(|record| record.socket()).map(ToOwned::to_owned);
        let begun = self.clock.monotonic();
        let mut ending = Ending { deleted: None, asked: BTreeSet::new() };
        while !found.is_nothing() {
            let waited = self.clock.monotonic().saturating_sub(begun);
            if waited >= grace.saturating_add(self.config.gone) {
                return Err(still_runs(instance, &found));
            }
            let moved = self.move_on(permit, &found, &mut ending, waited >= grace).await;
            moved.map_err(StepError::after_effect)?;
            self.pause(cancel).await?;
            found =
                self.look_again(service, instance, waited >= grace).await.map_err(StepError::after_effect)?;
        }
        self.forget(service, instance, socket.as_deref()).map_err(StepError::after_effect)
    }

    /// Looks at what is ending: while PM2 has it and it is not time to kill, at PM2's list alone.
    async fn look_again(
        &self,
        service: &Name,
        instance: &InstanceId,
        kill: bool,
    ) -> Result<Found, StepError> {
        if !kill {
            let found = self.look_in_list(service, instance).await?;
            if found.app.is_some() {
                return Ok(found);
            }
        }
        self.look(service, instance).await
    }

    /// Does what is next to end what was found.
    async fn move_on(
        &self,
        permit: &Permit,
        found: &Found,
        ending: &mut Ending,
        kill: bool,
    ) -> Result<(), StepError> {
        let listed = found.app.as_ref();
        // An app that is stopping is on its way: PM2 would hear a second deletion when the first is done, and by then
        // its number may be another app's.
        if let Some(app) = listed.filter(|app| app.status != Status::Stopping) {
            ending.delete(self, app.id).await?;
        }
        let own = listed.and_then(|app| app.pid);
        // PM2 would start again what is killed before it knows that it is to end.
        let kill = kill && listed.is_none_or(|app| app.status != Status::Started);
        let leader = found.leader.iter().map(|leader| leader.id);
        for process in leader.chain(found.members.iter().map(|member| member.process.id)) {
            if kill {
                // Never through PM2: where the process has just ended it has 0 for its id, which is all of PM2's own group.
                self.outside.machine().signal(permit, process, Signal::Kill).await?;
            } else if own.is_none() && ending.asked.insert(process) {
                // What a living parent started is the parent's to end.
                self.outside.machine().signal(permit, process, Signal::Int).await?;
            }
        }
        Ok(())
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

    /// Removes what an instance that is gone has left.
    fn forget(
        &self,
        service: &Name,
        instance: &InstanceId,
        socket: Option<&std::path::Path>,
    ) -> Result<(), StepError> {
        self.home.bus().forget(&app_name(service, instance));
        file::remove(&note::path(&self.config.state, service, instance))?;
        match socket {
            Some(socket) if self.place == Place::Here && file::is_socket(socket) => file::remove(socket),
            _ => Ok(()),
        }
    }
}

/// How far the end of an instance has come.
struct Ending {
    /// The deletion that was asked for and not answered yet.
    deleted: Option<tokio::task::JoinHandle<Result<(), CallError>>>,
    /// The processes that PM2 does not know and that were asked to end.
    asked: BTreeSet<ProcessId>,
}

impl Ending {
    /// Tells PM2 once to delete the app; reports what became of that when it is known. The call goes on when its caller is gone: PM2
    /// cannot be told otherwise.
    async fn delete(&mut self, processes: &Pm2Processes, id: u64) -> Result<(), StepError> {
        match self.deleted.take_if(|deleted| deleted.is_finished()) {
            Some(answered) => match answered.await {
                // It is listed all the same: the list was read before, or somebody else has deleted it.
                Ok(Ok(()) | Err(CallError::Refused(_))) => Ok(()),
                Ok(Err(error)) => Err(error.into()),
                Err(error) => Err(StepError::in_doubt("the deletion ended early").because(error)),
            },
            None if self.deleted.is_some() => Ok(()),
            None => {
                let home = Arc::clone(&processes.home);
                let patience = processes.config.longest_grace.saturating_add(processes.config.gone);
                self.deleted = Some(tokio::spawn(async move { home.delete(id, patience).await }));
                Ok(())
            }
        }
    }
}

fn still_runs(instance: &InstanceId, found: &Found) -> StepError {
    let pids: Vec<String> = found.members.iter().map(|member| member.process.id.pid.to_string()).collect();
    StepError::new(ErrorKind::TimedOut, "the instance is still there after it was killed")
        .fact("instance", instance)
        .fact("app", found.app.as_ref().map_or("none", |app| app.status_text()))
        .fact("pids", pids.join(", "))
}
