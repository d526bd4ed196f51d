//! How long the parts of a replacement took, seen at the ports.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_core::port::{Health, InFlight, Instance, InstanceId, LaunchSpec, ProcessManager, Router, Routing};
use flow_core::{Name, Permit, StepError};
use serde::Serialize;
use tokio::task::JoinHandle;

/// The parts of a replacement in milliseconds; none where there was no such part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Times {
    /// Until the last instance ran.
    pub(crate) start: Option<f64>,
    /// From there until the last instance was proved ready.
    pub(crate) ready: Option<f64>,
    /// The last switch of the traffic.
    pub(crate) switch: Option<f64>,
    /// From there until no request was under way at what it left.
    pub(crate) drain: Option<f64>,
    /// The whole call.
    pub(crate) total: f64,
}

/// Takes the times of what goes through it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopwatch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    times: Times,
    /// The launched instances that are not proved ready yet.
    starting: BTreeSet<InstanceId>,
    started: Option<Instant>,
    switched: Option<Instant>,
    draining: Option<JoinHandle<()>>,
}

/// How often requests under way are counted.
const POLL: Duration = Duration::from_millis(10);

pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Stopwatch {
    pub(crate) fn times(&self) -> Times {
        self.seen().times
    }

    /// When the traffic was switched last.
    pub(crate) fn switched(&self) -> Option<Instant> {
        self.seen().switched
    }

    /// Waits until nothing is under way at what the traffic left, for at most `longest`.
    pub(crate) async fn drained(&self, longest: Duration) {
        let draining = self.seen().draining.take();
        if let Some(draining) = draining {
            tokio::time::timeout(longest, draining).await.ok();
        }
    }

    /// Watches what is under way at `left` until nothing is.
    fn drain<R: Router + ?Sized + 'static>(&self, port: Arc<R>, service: Name, left: BTreeSet<String>) {
        let (watch, switched) = (self.clone(), Instant::now());
        let draining = tokio::spawn(async move {
            let idle = |under_way: &InFlight| {
                left.iter().all(|address| under_way.get(address).is_none_or(|count| *count == 0))
            };
            while !port.in_flight(&service).await.is_ok_and(|under_way| idle(&under_way)) {
                tokio::time::sleep(POLL).await;
            }
            watch.seen().times.drain = Some(ms(switched.elapsed()));
        });
        let mut seen = self.seen();
        seen.switched = Some(switched);
        if let Some(earlier) = seen.draining.replace(draining) {
            earlier.abort();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port with a stopwatch in front.
pub(crate) struct Timed<P: ?Sized> {
    pub(crate) port: Arc<P>,
    pub(crate) watch: Stopwatch,
}

#[async_trait]
impl<P: ProcessManager + ?Sized> ProcessManager for Timed<P> {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let begun = Instant::now();
        let launched = self.port.launch(permit, spec).await;
        let mut seen = self.watch.seen();
        seen.times.start = Some(seen.times.start.unwrap_or_default() + ms(begun.elapsed()));
        seen.started = Some(Instant::now());
        seen.starting.insert(spec.instance.clone());
        launched
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        self.port.instances(service).await
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        self.port.launched(service, instance).await
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let health = self.port.health(service, instance).await;
        let mut seen = self.watch.seen();
        if let (Ok(Health::Healthy), Some(started)) = (&health, seen.started)
            && seen.starting.remove(instance)
        {
            seen.times.ready = Some(ms(started.elapsed()));
        }
        health
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        self.port.stop(permit, service, instance, grace).await
    }
}

#[async_trait]
impl<R: Router + ?Sized + 'static> Router for Timed<R> {
    fn granularity(&self) -> u8 {
        self.port.granularity()
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        self.port.routing(service).await
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let mut left = self.port.routing(service).await.map(serving).unwrap_or_default();
        let begun = Instant::now();
        self.port.route(permit, service, routing).await?;
        self.watch.seen().times.switch = Some(ms(begun.elapsed()));
        let kept = serving(routing.clone());
        left.retain(|address| !kept.contains(address));
        self.watch.drain(self.port.clone(), service.clone(), left);
        Ok(())
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        self.port.in_flight(service).await
    }
}

/// The addresses that get traffic.
fn serving(routing: Routing) -> BTreeSet<String> {
    routing.0.into_values().filter(|route| route.weight > 0).flat_map(|route| route.addresses).collect()
}
