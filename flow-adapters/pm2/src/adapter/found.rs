use std::collections::BTreeMap;

use flow_core::port::{Instance, InstanceId};
use flow_core::{Name, StepError};
use flow_linux::Process;

use super::outside::Member;
use super::processes::Pm2Processes;
use super::record::{Record, VARIABLE};
use crate::client::{App, Status};

/// What there is of one instance: in PM2's list, and in the process table.
///
/// The two differ when the daemon was killed: the processes of its apps live on, hold their addresses, and the next daemon does not know
/// them. Such an instance goes on serving until it is stopped; PM2 cannot be given it back.
#[derive(Default)]
pub(super) struct Found {
    /// The app, if PM2 knows one and it is ours.
    pub(super) app: Option<App>,
    pub(super) record: Option<Record>,
    /// Its first process, if it runs: PM2's where that has one, else one that PM2 does not know.
    pub(super) leader: Option<Process>,
    /// Everything that runs of it, in fork mode.
    pub(super) members: Vec<Member>,
}

impl Found {
    /// The instance, if it runs.
    pub(super) fn instance(&self) -> Option<Instance> {
        let leader = self.leader.as_ref()?;
        Some(self.record.as_ref()?.instance(Some(leader.id.pid)))
    }

    /// Whether nothing is left of it.
    pub(super) fn is_nothing(&self) -> bool {
        self.app.is_none() && self.leader.is_none() && self.members.is_empty()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.app.as_ref().is_some_and(|app| app.status == Status::Stopping)
    }

    /// How often PM2 has started it again; an orphan has nobody who would.
    pub(super) fn restarts(&self) -> u64 {
        self.app.as_ref().filter(|app| app.pid.is_some()).map_or(0, |app| app.restarts)
    }
}

impl Pm2Processes {
    /// Looks for one instance.
    pub(super) async fn look(&self, service: &Name, instance: &InstanceId) -> Result<Found, StepError> {
        let all = self.look_for_all(service).await?;
        let wanted = all
            .into_iter()
            .find(|found| found.record.as_ref().is_some_and(|record| record.is(service, instance)));
        Ok(wanted.unwrap_or_default())
    }

    /// Looks for one instance in PM2's list alone: what PM2 does not know is not found.
    pub(super) async fn look_in_list(
        &self,
        service: &Name,
        instance: &InstanceId,
    ) -> Result<Found, StepError> {
        let Some(app) = self.app(service, instance).await? else { return Ok(Found::default()) };
        Ok(self.as_instance(app, service).await?.map(|(_, found)| found).unwrap_or_default())
    }

    /// Looks for every instance of a service.
    pub(super) async fn look_for_all(&self, service: &Name) -> Result<Vec<Found>, StepError> {
        let mut all: BTreeMap<InstanceId, Found> = BTreeMap::new();
        for app in self.home.apps().await? {
            if let Some((id, found)) = self.as_instance(app, service).await? {
                all.insert(id, found);
            }
        }
        for member in self.outside.members(service).await? {
            let found = all.entry(member.record.spec.instance.clone()).or_default();
            found.record.get_or_insert_with(|| member.record.clone());
            // The first to have started is the first of its tree.
            found.leader.get_or_insert_with(|| member.process.clone());
            found.members.push(member);
        }
        let leaders = all.values().filter_map(|found| Some(found.leader.as_ref()?.id)).collect();
        self.settled.keep(service, &leaders);
        Ok(all.into_values().collect())
    }

    /// An app as an instance of `service`, if it is one.
    async fn as_instance(&self, app: App, service: &Name) -> Result<Option<(InstanceId, Found)>, StepError> {
        let record = app.variable(VARIABLE).and_then(|value| Record::read(value, &self.config.home));
        let Some(record) = record.filter(|record| record.spec.service == *service) else { return Ok(None) };
        let leader = match app.pid {
            Some(pid) => self.outside.running(pid).await?,
            None => None,
        };
        let id = record.spec.instance.clone();
        Ok(Some((id, Found { app: Some(app), record: Some(record), leader, members: Vec::new() })))
    }
}
