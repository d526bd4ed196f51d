use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use futures::future::{join_all, try_join_all};
use futures::lock::Mutex;

use super::machine::{Found, Machine};

/// How often a new instance is asked whether it is healthy.
const POLL: Duration = Duration::from_millis(200);

/// Runs the instances of services on several machines, each with a process manager of its own.
///
/// - A launch goes to the machine with the fewest instances of the service, of those with as few to the one with the fewest of the
///   version, and of those to the first; everything else goes to the machine that has the instance. Who has it is asked each time:
///   the machine that had it last first, and then all.
/// - On a machine with [edges](Machine::edge) a launched instance is awaited until it is healthy, and then a free edge is led to it.
///   From then on its address is the edge's. One that no edge leads to is not healthy, whatever it answers.
/// - A machine that cannot be asked is an error of every question that it might have the answer to: that it has no instances is not
///   known.
#[derive(Debug, Clone)]
pub struct HostProcesses {
    machines: Arc<Vec<Machine>>,
    ready_within: Duration,
    clock: Arc<dyn Clock>,
    /// Which machine had which instance of a service when all were asked last, by its place among them.
    last: Arc<std::sync::Mutex<BTreeMap<Name, BTreeMap<InstanceId, usize>>>>,
    /// One instance is placed at a time: the next choice sees what the one before it made.
    placing: Arc<Mutex<()>>,
}

impl HostProcesses {
    /// The processes of `machines`, in order of preference.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once: none at all, two of one name, an edge at no address or at another one's.
    pub fn new(machines: impl IntoIterator<Item = Machine>, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        let machines: Vec<Machine> = machines.into_iter().collect();
        let mut problems = Problems::default();
        problems.check(!machines.is_empty(), "machines", "must be at least one");
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for machine in &machines {
            machine.check(&mut problems);
            let field = format!("machines.{}", machine.name);
            problems.check(names.insert(&machine.name), &field, "stands twice");
            for address in machine.addresses() {
                let twice = format!("`{address}` stands twice");
                problems.check(addresses.insert(address), &format!("{field}.edge"), &twice);
            }
        }
        problems.into_result()?;
        let ready_within = Duration::from_mins(1);
        let (machines, last, placing) = (Arc::new(machines), Arc::default(), Arc::default());
        Ok(Self { machines, ready_within, clock, last, placing })
    }

    /// Gives an instance behind an edge this long to become healthy, and not a minute. One that takes longer stays without an edge
    /// until it is launched again.
    #[must_use]
    pub const fn ready_within(mut self, time: Duration) -> Self {
        self.ready_within = time;
        self
    }

    /// What runs on each machine, in their order.
    async fn look(&self, service: &Name) -> Result<Vec<(&Machine, Vec<Found>)>, StepError> {
        let looks = self
            .machines
            .iter()
            .map(|machine| async move { Ok::<_, StepError>((machine, machine.look(service).await?)) });
        let seen: Vec<(&Machine, Vec<Found>)> = try_join_all(looks).await?;
        let ids = |(place, (_, found)): (usize, &(_, Vec<Found>))| {
            found.iter().map(|found| (found.instance.id.clone(), place)).collect::<Vec<_>>()
        };
        let places = seen.iter().enumerate().flat_map(ids).collect();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(service.clone(), places);
        Ok(seen)
    }

    /// The machine that has `instance`, and what it has.
    async fn find(
        &self,
        service: &Name,
        instance: &InstanceId,
    ) -> Result<Option<(&Machine, Found)>, StepError> {
        let of = |found: Vec<Found>| found.into_iter().find(|found| found.instance.id == *instance);
        let last = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.get(service).and_then(|places| self.machines.get(*places.get(instance)?))
        };
        if let Some(machine) = last
            && let Some(found) = of(machine.look(service).await?)
        {
            return Ok(Some((machine, found)));
        }
        let seen = self.look(service).await?;
        Ok(seen.into_iter().find_map(|(machine, found)| Some((machine, of(found)?))))
    }

    /// Waits until an instance is healthy; false where it is not going to be.
    async fn is_ready(
        &self,
        permit: &Permit,
        machine: &Machine,
        spec: &LaunchSpec,
    ) -> Result<bool, StepError> {
        let begun = self.clock.monotonic();
        loop {
            match machine.processes.health(&spec.service, &spec.instance).await {
                Ok(Health::Healthy) => return Ok(true),
                Ok(Health::Gone) => return Ok(false),
                Ok(Health::Unhealthy { .. }) => {}
                Err(error) => return Err(machine.at(error)),
            }
            if permit.cancel().is_cancelled() {
                let error =
                    StepError::new(ErrorKind::Cancelled, "cancelled before an edge led to the instance");
                return Err(machine.at(error).fact("instance", &spec.instance));
            }
            if self.clock.monotonic().saturating_sub(begun) >= self.ready_within {
                return Ok(false);
            }
            self.clock.sleep(POLL).await;
        }
    }
}

#[async_trait]
impl ProcessManager for HostProcesses {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let _placing = self.placing.lock().await;
        let seen = self.look(&spec.service).await?;
        let machine = choose(&seen, spec).ok_or_else(|| {
            StepError::new(ErrorKind::Conflict, "no machine has an edge left for another instance")
                .fact("service", &spec.service)
                .fact("instance", &spec.instance)
        })?;
        let launched = machine.processes.launch(permit, spec).await;
        let mut instance = launched.map_err(|error| machine.at(error))?;
        if machine.has_edges(&spec.service)
            && self.is_ready(permit, machine, spec).await.map_err(StepError::after_effect)?
        {
            let reached = machine.let_in(permit, &spec.service, &instance).await;
            instance.address = reached.map_err(StepError::after_effect)?;
        }
        Ok(instance)
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let seen = self.look(service).await?;
        let found = seen.into_iter().flat_map(|(_, found)| found);
        let mut instances: Vec<Instance> = found.map(|found| found.instance).collect();
        instances.sort_by(|left, right| left.id.cmp(&right.id));
        match instances.windows(2).find(|pair| matches!(pair, [one, other] if one.id == other.id)) {
            None => Ok(instances),
            Some(pair) => Err(StepError::new(ErrorKind::Conflict, "an instance runs on two machines")
                .fact("instances", format_args!("{pair:?}"))),
        }
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let Some((machine, _)) = self.find(service, instance).await? else {
            let error = StepError::new(ErrorKind::NotFound, "no machine has such an instance");
            return Err(error.fact("service", service).fact("instance", instance));
        };
        machine.processes.launched(service, instance).await.map_err(|error| machine.at(error))
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let Some((machine, found)) = self.find(service, instance).await? else { return Ok(Health::Gone) };
        let health = machine.processes.health(service, instance).await.map_err(|error| machine.at(error))?;
        if health.is_healthy() && found.waits {
            return Ok(Health::Unhealthy { reason: format!("no edge of {} leads to it", machine.name) });
        }
        Ok(health)
    }

    /// What is left of one that has ended may stand on any machine: where none has it, each is told.
    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        let seen: Vec<(&Machine, Option<Found>)> = {
            let of = |found: Vec<Found>| found.into_iter().find(|found| found.instance.id == *instance);
            let seen = self.look(service).await?.into_iter();
            seen.map(|(machine, found)| (machine, of(found))).collect()
        };
        let runs = seen.iter().any(|(_, found)| found.is_some());
        let told = seen.iter().filter(|(_, found)| found.is_some() || !runs);
        let stops = told.map(|(machine, found)| async move {
            if let Some(found) = found {
                machine.let_out(permit, service, found).await?;
            }
            machine.processes.stop(permit, service, instance, grace).await.map_err(|error| machine.at(error))
        });
        // One that fails does not keep the others from ending.
        let ends: Result<(), StepError> = join_all(stops).await.into_iter().collect();
        ends.map_err(StepError::after_effect)
    }
}

/// The machine that has the instance already. Else the one with room that has the fewest instances, and of those with as few the one
/// that has the fewest of this version: an old instance that is brought back finds the machine that it left.
fn choose<'a>(seen: &[(&'a Machine, Vec<Found>)], spec: &LaunchSpec) -> Option<&'a Machine> {
    let has = |(_, found): &&(_, Vec<Found>)| found.iter().any(|found| found.instance.id == spec.instance);
    let room = seen.iter().filter(|(machine, found)| machine.has_room(&spec.service, found.len()));
    let least = room.min_by_key(|(_, found)| {
        let same = found.iter().filter(|found| found.instance.version == spec.version).count();
        (found.len(), same)
    });
    seen.iter().find(has).or(least).map(|(machine, _)| *machine)
}
