//! What a rollout looks like from outside, in the journal's form.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::Name;
use crate::port::{Instance, ProcessManager, Router, Routing};
use crate::strategy::Seen;

/// One look at a service: its instances, their health, and where its traffic goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Observation {
    pub(super) seen: Vec<Seen>,
    pub(super) instances: BTreeMap<Name, Instance>,
    pub(super) routing: Routing,
}

pub(super) async fn observe(
    processes: &dyn ProcessManager,
    router: &dyn Router,
    service: &Name,
) -> Result<Observation, StepError> {
    let mut instances = processes.instances(service).await?;
    instances.sort_by(|left, right| left.id.cmp(&right.id));
    let (routing, in_flight) = (router.routing(service).await?, router.in_flight(service).await?);
    let seen = instances.iter().map(|instance| {
        let (routing, in_flight) = (&routing, &in_flight);
        async move {
            let healthy = processes.health(service, &instance.id).await?.is_healthy();
            Ok::<_, StepError>(Seen {
                id: instance.id.clone(),
                version: instance.version.clone(),
                healthy,
                routed: is_routed(routing, instance),
                in_flight: in_flight.get(&instance.address).copied().unwrap_or(0),
            })
        }
    });
    let seen = try_join_all(seen).await?;
    let instances = instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect();
    Ok(Observation { seen, instances, routing })
}

fn is_routed(routing: &Routing, instance: &Instance) -> bool {
    let route = routing.0.get(&instance.version);
    route.is_some_and(|route| route.weight > 0 && route.addresses.contains(&instance.address))
}
