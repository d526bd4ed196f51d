use std::time::Duration;

use flow_core::port::{InstanceId, LaunchSpec, ProcessManager};
use flow_core::{ErrorKind, Permit, StepError};

use super::processes::Pm2Processes;
use crate::client::App;

const POLL: Duration = Duration::from_millis(20);

/// The replacement of a service's instances one at a time: for a [cluster](crate::Mode::Cluster), whose workers share one address, so that no
/// router can switch between them.
///
/// About one connection is lost in a roll of four, as measured under 300 requests a second: the daemon hands it to a worker that is
/// ending, and it is never answered. [Colours](crate::Mode::Colours) lose none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// What to launch, in this order. All of one service.
    pub new: Vec<LaunchSpec>,
    /// The instances of the same service that go, each when the new one of its place is healthy. More of them than new ones go at the end.
    pub old: Vec<InstanceId>,
    /// How long a new instance may take to be healthy.
    pub ready_within: Duration,
    /// How long an old one has to end by itself.
    pub grace: Duration,
}

impl Pm2Processes {
    /// Carries out a replacement: launches a new instance, waits until it is healthy, so that it has settled, stops an
    /// old one, and so on. The first new one that ends or is not healthy in time ends the whole: it is removed,
    /// and the old ones that are left run on. Safe to repeat: what is done already is found so.
    ///
    /// # Errors
    /// As [`launch`](ProcessManager::launch) and [`stop`](ProcessManager::stop); [`ErrorKind::Failed`] where the first new instance did
    /// not become healthy, and in doubt for a later one, when some are replaced already. [`ErrorKind::Cancelled`] between two
    /// instances.
    pub async fn replace(&self, permit: &Permit, replacement: &Replacement) -> Result<(), StepError> {
        let service = replacement.new.first().map(|spec| spec.service.clone());
        let mut old = replacement.old.iter();
        for (place, spec) in replacement.new.iter().enumerate() {
            let replaced = self.replace_one(permit, replacement, spec, old.next()).await;
            replaced.map_err(|error| {
                let error = if place == 0 { error } else { error.after_effect() };
                error.fact("replaced before", place)
            })?;
        }
        for (instance, service) in old.zip(service.iter().cycle()) {
            self.stop(permit, service, instance, replacement.grace).await.map_err(StepError::after_effect)?;
        }
        Ok(())
    }

    async fn replace_one(
        &self,
        permit: &Permit,
        replacement: &Replacement,
        spec: &LaunchSpec,
        old: Option<&InstanceId>,
    ) -> Result<(), StepError> {
        self.launch(permit, spec).await?;
        if let Err(error) = self.until_healthy(permit, replacement, spec).await {
            let removed = self.stop(permit, &spec.service, &spec.instance, Duration::ZERO).await;
            removed.map_err(|standing| standing.after_effect().fact("begun by", &error))?;
            return Err(error);
        }
        match old {
            Some(old) => self
                .stop(permit, &spec.service, old, replacement.grace)
                .await
                .map_err(StepError::after_effect),
            None => Ok(()),
        }
    }

    async fn until_healthy(
        &self,
        permit: &Permit,
        replacement: &Replacement,
        spec: &LaunchSpec,
    ) -> Result<(), StepError> {
        let begun = self.clock.monotonic();
        loop {
            let health = self.health(&spec.service, &spec.instance).await?;
            if health.is_healthy() {
                return Ok(());
            }
            let app = self.app(&spec.service, &spec.instance).await?;
            let has_ended = !app.is_some_and(|app: App| app.pid.is_some() && app.restarts == 0);
            if has_ended || self.clock.monotonic().saturating_sub(begun) >= replacement.ready_within {
                let message = if has_ended {
                    "the new instance has ended"
                } else {
                    "the new instance did not become healthy"
                };
                return Err(StepError::new(ErrorKind::Failed, message)
                    .fact("instance", &spec.instance)
                    .fact("health", format_args!("{health:?}")));
            }
            if permit.cancel().is_cancelled() {
                return Err(StepError::new(ErrorKind::Cancelled, "cancelled while an instance was starting"));
            }
            self.clock.sleep(POLL).await;
        }
    }
}
