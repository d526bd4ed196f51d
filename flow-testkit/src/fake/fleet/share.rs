//! What a service's users get, for whoever counts it.

use std::time::Duration;

use flow_core::Name;
use tokio::time::Instant;

use super::FakeFleet;

/// The part of the traffic that a version gets.
#[derive(Debug)]
pub(in crate::fake) struct Share {
    pub(in crate::fake) version: Name,
    pub(in crate::fake) weight: u8,
    /// How many addresses share it.
    pub(in crate::fake) routed: u64,
    /// At how many of them a healthy instance listens.
    pub(in crate::fake) healthy: u64,
}

impl FakeFleet {
    /// The shares of `service` at an instant.
    pub(in crate::fake) fn shares(&self, service: &str, at: Instant) -> Vec<Share> {
        let state = self.state();
        let routes = state.routing(service, at).map(|routing| &routing.0).into_iter().flatten();
        let healthy = |address: &&String| {
            let life = state.running(service, at).find(|life| life.instance.address == **address);
            life.is_some_and(|life| state.health(life, at).is_healthy())
        };
        routes
            .map(|(version, route)| Share {
                version: version.clone(),
                weight: route.weight,
                routed: route.addresses.len() as u64,
                healthy: route.addresses.iter().filter(healthy).count() as u64,
            })
            .collect()
    }

    /// How long after `at` the routing of `service` was changed next.
    pub(in crate::fake) fn steady(&self, service: &str, at: Instant) -> Option<Duration> {
        let state = self.state();
        let mut later =
            state.routings.iter().filter(|(since, name, _)| name.as_str() == service && *since > at);
        later.next().map(|(since, ..)| since.saturating_duration_since(at))
    }
}
