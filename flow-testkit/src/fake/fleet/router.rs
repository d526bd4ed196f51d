use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{InFlight, Router, Routing};
use flow_core::{Name, Permit, StepError};
use tokio::time::Instant;

use super::FakeFleet;
use super::history::Snapshot;
use super::routing::check;
use super::users::{Answered, UnderWay, choose};
use crate::ledger::Change;

/// The traffic of one service of a [`FakeFleet`], as its users see it.
#[derive(Debug, Clone)]
pub struct FleetRouter {
    fleet: FakeFleet,
    service: String,
}

impl FleetRouter {
    pub(super) fn new(fleet: &FakeFleet, service: &str) -> Self {
        Self { fleet: fleet.clone(), service: service.to_owned() }
    }

    /// The share of each version that has one, in percent; empty where nothing is routed. It compares with
    /// [`weights!`](crate::weights).
    #[must_use]
    pub fn observed_weights(&self) -> BTreeMap<Name, u8> {
        let weights = self.routing().0.into_iter().map(|(version, route)| (version, route.weight));
        weights.filter(|(_, weight)| *weight > 0).collect()
    }

    /// The routing in force.
    #[must_use]
    pub fn routing(&self) -> Routing {
        self.fleet.state().routing(&self.service, Instant::now()).cloned().unwrap_or_default()
    }

    /// Every change of the service with what stood after it, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Snapshot> {
        let mut history = self.fleet.history();
        history.retain(|snapshot| snapshot.service.as_str() == self.service);
        history
    }

    /// Makes one request, as a user would; none where nothing is routed or nobody answers. Of every hundred in a row each
    /// version gets its exact share.
    #[must_use]
    pub fn request(&self) -> Option<Answered> {
        choose(&mut self.fleet.state(), &self.service)
    }

    /// Makes one request and keeps it under way; none where nobody takes it.
    #[must_use]
    pub fn begin(&self) -> Option<UnderWay> {
        let mut state = self.fleet.state();
        let answered = choose(&mut state, &self.service)?;
        let number = state.next();
        state.held.insert(number, (self.service.clone(), answered.address.clone()));
        drop(state);
        Some(UnderWay { state: Arc::clone(&self.fleet.state), number, answered })
    }
}

#[async_trait]
impl Router for FakeFleet {
    fn granularity(&self) -> u8 {
        self.state().granularity
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        let look = || Ok(self.state().routing(service.as_str(), Instant::now()).cloned().unwrap_or_default());
        self.ledger.read("router.routing", service, look).await
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let change = Change::new("router.route", service, permit);
        self.ledger.change(change, || self.put(service, routing)).await
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        let look = || Ok(self.state().in_flight(service.as_str(), Instant::now()));
        self.ledger.read("router.in_flight", service, look).await
    }
}

impl FakeFleet {
    fn put(&self, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let (mut state, at) = (self.state(), Instant::now());
        check(routing, state.granularity)?;
        for (version, route) in &routing.0 {
            for address in &route.addresses {
                let life = state.running(service.as_str(), at).find(|life| life.instance.address == *address);
                let wrong = match life {
                    None => "where nothing listens",
                    Some(life) if life.instance.version != *version => "of an instance of another version",
                    Some(life) if route.weight > 0 && !life.proved => "whose health nobody has seen good",
                    Some(_) => continue,
                };
                return Err(self
                    .ledger
                    .refuse(format!("traffic of `{service}` for {version} to `{address}`, {wrong}")));
            }
        }
        let weights = routing.weights().map(|weights| weights.to_string()).unwrap_or_default();
        state.routings.push((at, service.clone(), routing.clone()));
        state.note(service, format!("route {service} to {weights}"), 0);
        Ok(())
    }
}
