use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, InFlight, Instance, InstanceId, LaunchSpec, ProcessManager, Router, Routing};
use flow_core::{ErrorKind, Name, Permit, StepError};

/// A process manager and a router in one, in memory: one world that both see.
///
/// Stricter than production: traffic to an address where nothing listens is refused, and so is stopping an instance that
/// still gets traffic.
#[derive(Debug, Clone, Default)]
pub struct FakeFleet(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<(Name, InstanceId), (LaunchSpec, Instance)>,
    routing: BTreeMap<Name, Routing>,
    sick: BTreeSet<Name>,
    next_port: u16,
    changes: Vec<String>,
}

impl FakeFleet {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every instance of `version` answer its health badly from now on.
    pub fn sicken(&self, version: &Name) {
        self.state().sick.insert(version.clone());
    }

    /// The versions that run for `service`, one entry an instance, ordered by id.
    #[must_use]
    pub fn running(&self, service: &Name) -> Vec<Name> {
        let state = self.state();
        let of_service = state.running.iter().filter(|((name, _), _)| name == service);
        of_service.map(|(_, (_, instance))| instance.version.clone()).collect()
    }

    /// Everything that was changed, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        self.state().changes.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ProcessManager for FakeFleet {
    async fn launch(&self, _permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let mut state = self.state();
        let key = (spec.service.clone(), spec.instance.clone());
        if let Some((_, instance)) = state.running.get(&key) {
            let same = instance.digest == spec.digest;
            let taken = || {
                StepError::new(ErrorKind::Conflict, "the id runs another digest").fact("id", &spec.instance)
            };
            return if same { Ok(instance.clone()) } else { Err(taken()) };
        }
        state.next_port += 1;
        let instance = Instance {
            id: spec.instance.clone(),
            version: spec.version.clone(),
            digest: spec.digest,
            address: format!("127.0.0.1:{}", 20_000 + u32::from(state.next_port)),
            pid: Some(u32::from(state.next_port)),
        };
        state.changes.push(format!("launch {}", spec.instance));
        state.running.insert(key, (spec.clone(), instance.clone()));
        Ok(instance)
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let state = self.state();
        let of_service = state.running.iter().filter(|((name, _), _)| name == service);
        Ok(of_service.map(|(_, (_, instance))| instance.clone()).collect())
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let state = self.state();
        let launched = state.running.get(&(service.clone(), instance.clone())).map(|(spec, _)| spec.clone());
        launched.ok_or_else(|| StepError::new(ErrorKind::NotFound, "no such instance").fact("id", instance))
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let state = self.state();
        Ok(match state.running.get(&(service.clone(), instance.clone())) {
            None => Health::Gone,
            Some((_, instance)) if state.sick.contains(&instance.version) => {
                Health::Unhealthy { reason: "status 500".to_owned() }
            }
            Some(_) => Health::Healthy,
        })
    }

    async fn stop(
        &self,
        _permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        _grace: Duration,
    ) -> Result<(), StepError> {
        let mut state = self.state();
        let key = (service.clone(), instance.clone());
        let Some((_, found)) = state.running.get(&key) else { return Ok(()) };
        let routes = state.routing.get(service).map(|routing| routing.0.values()).into_iter().flatten();
        if routes.into_iter().any(|route| route.weight > 0 && route.addresses.contains(&found.address)) {
            return Err(
                StepError::new(ErrorKind::Conflict, "the instance still gets traffic").fact("id", instance)
            );
        }
        state.changes.push(format!("stop {instance}"));
        state.running.remove(&key);
        Ok(())
    }
}

#[async_trait]
impl Router for FakeFleet {
    fn granularity(&self) -> u8 {
        1
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        Ok(self.state().routing.get(service).cloned().unwrap_or_default())
    }

    async fn route(&self, _permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let weights = routing
            .weights()
            .map_err(|error| StepError::new(ErrorKind::Invalid, "the weights are refused").because(error))?;
        let mut state = self.state();
        let listening: Vec<&String> = state.running.values().map(|(_, instance)| &instance.address).collect();
        for address in routing.0.values().flat_map(|route| &route.addresses) {
            if !listening.contains(&address) {
                return Err(
                    StepError::new(ErrorKind::Invalid, "nothing listens there").fact("address", address)
                );
            }
        }
        state.changes.push(format!("route {service} to {weights}"));
        state.routing.insert(service.clone(), routing.clone());
        Ok(())
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        let state = self.state();
        let of_service = state.running.iter().filter(|((name, _), _)| name == service);
        Ok(of_service.map(|(_, (_, instance))| (instance.address.clone(), 0)).collect())
    }
}
