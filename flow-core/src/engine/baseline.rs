//! What a service was before a rollout, and the way back to it: one rollout to that baseline, never the moves in reverse.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::engine::observe::observe;
use crate::error::{ErrorKind, StepError};
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{Health, HealthCheck, Instance, LaunchSpec, ProcessManager, Route, Router, Routing};
use crate::receipt::Artifact;
use crate::rollback::Captured;
use crate::service::Service;

/// How often an instance is asked while it starts or drains.
const POLL: Duration = Duration::from_millis(50);

/// The service as it was, readable in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Baseline {
    pub(super) instances: Vec<Instance>,
    /// The instances that answered well, by id: a way back must not ask more of the old version than it gave.
    pub(super) healthy: Vec<Name>,
    pub(super) routing: Routing,
}

impl Baseline {
    /// The version that had most of the traffic.
    pub(super) fn serving(&self) -> Option<&Name> {
        self.routing
            .0
            .iter()
            .filter(|(_, route)| route.weight > 0)
            .max_by_key(|(_, route)| route.weight)
            .map(|(v, _)| v)
    }
}

/// A service with the ports that a rollout works through.
#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) service: Service,
    pub(super) processes: Arc<dyn ProcessManager>,
    pub(super) router: Arc<dyn Router>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Fleet {
    /// Reads everything that the way back will need. What instances were launched with may hold secrets.
    pub(super) async fn capture(&self) -> Result<Captured, StepError> {
        let name = &self.service.name;
        let observed = observe(&*self.processes, &*self.router, name).await?;
        let instances: Vec<Instance> = observed.instances.into_values().collect();
        let mut specs = Vec::with_capacity(instances.len());
        for instance in &instances {
            specs.push(self.processes.launched(name, &instance.id).await?);
        }
        let healthy = observed.seen.into_iter().filter(|seen| seen.healthy).map(|seen| seen.id).collect();
        Captured::of(&Baseline { instances, healthy, routing: observed.routing })?.sealed(&specs)
    }

    /// Waits until `instance` is proved healthy.
    pub(super) async fn ready(&self, instance: &Name) -> Result<(), StepError> {
        let begun = self.clock.monotonic();
        loop {
            let health = self.processes.health(&self.service.name, instance).await?;
            if health.is_healthy() {
                return Ok(());
            }
            if health == Health::Gone {
                // It ran, and does not any more: nothing is gained by waiting.
                return Err(StepError::new(ErrorKind::Failed, "the instance ended before it was healthy")
                    .fact("instance", instance));
            }
            if self.clock.monotonic().saturating_sub(begun) >= self.service.ready_within {
                return Err(StepError::new(ErrorKind::Failed, "the instance did not become healthy")
                    .fact("instance", instance)
                    .fact("health", format_args!("{health:?}")));
            }
            self.clock.sleep(POLL).await;
        }
    }

    /// Makes sure that the instances of the baseline run, and that those that were healthy are healthy now.
    pub(super) async fn revive(
        &self,
        permit: &Permit,
        baseline: &Baseline,
        specs: &[LaunchSpec],
    ) -> Result<(), StepError> {
        let running = self.processes.instances(&self.service.name).await?;
        for spec in specs {
            if !running.iter().any(|instance| instance.id == spec.instance) {
                self.processes.launch(permit, spec).await?;
            }
        }
        for instance in &baseline.healthy {
            self.ready(instance).await.map_err(StepError::after_effect)?;
        }
        Ok(())
    }

    /// Sends the traffic where it went before, to instances proved healthy now, and reads it back.
    pub(super) async fn return_traffic(&self, permit: &Permit, baseline: &Baseline) -> Result<(), StepError> {
        let mut routing = Routing::default();
        for (version, before) in &baseline.routing.0 {
            let of_version = baseline.instances.iter().filter(|instance| instance.version == *version);
            let mut addresses = Vec::new();
            for instance in self.processes.instances(&self.service.name).await? {
                let routed = of_version.clone().find(|old| old.id == instance.id);
                if routed.is_some_and(|old| before.addresses.contains(&old.address))
                    && self.processes.health(&self.service.name, &instance.id).await?.is_healthy()
                {
                    addresses.push(instance.address);
                }
            }
            if addresses.is_empty() && before.weight > 0 {
                return Err(StepError::new(ErrorKind::Failed, "no instance to go back to is healthy")
                    .fact("service", &self.service.name)
                    .fact("version", version));
            }
            if before.weight > 0 {
                routing.0.insert(version.clone(), Route { weight: before.weight, addresses });
            }
        }
        self.put(permit, &routing).await
    }

    /// Puts `routing` in force unless it is, and reads its weights back.
    pub(super) async fn put(&self, permit: &Permit, routing: &Routing) -> Result<(), StepError> {
        let name = &self.service.name;
        if self.router.routing(name).await? != *routing {
            self.router.route(permit, name, routing).await?;
        }
        let observed = self.router.routing(name).await?;
        if observed.weights().ok() == routing.weights().ok() {
            return Ok(());
        }
        Err(StepError::in_doubt("the weights in force are not the ones that were set").fact("service", name))
    }

    /// Stops instances once nothing goes to them any more.
    pub(super) async fn retire(&self, permit: &Permit, instances: &[Instance]) -> Result<(), StepError> {
        let name = &self.service.name;
        for instance in instances {
            let routing = self.router.routing(name).await?;
            if routing.0.values().any(|route| route.weight > 0 && route.addresses.contains(&instance.address))
            {
                return Err(StepError::new(
                    ErrorKind::Conflict,
                    "an instance that serves traffic is not stopped",
                )
                .fact("instance", &instance.id));
            }
            self.drain(&instance.address).await?;
            self.processes.stop(permit, name, &instance.id, self.service.stop_within).await?;
        }
        Ok(())
    }

    /// Waits until no request is under way at `address`, but not for ever: a request that never ends must not keep a
    /// release from ending.
    async fn drain(&self, address: &str) -> Result<(), StepError> {
        let begun = self.clock.monotonic();
        loop {
            let under_way =
                self.router.in_flight(&self.service.name).await?.get(address).copied().unwrap_or(0);
            if under_way == 0 {
                return Ok(());
            }
            if self.clock.monotonic().saturating_sub(begun) >= self.service.drain_within {
                tracing::warn!(service = %self.service.name, address, under_way, "requests did not end in time");
                return Ok(());
            }
            self.clock.sleep(POLL).await;
        }
    }

    /// The parts of a launch that are the same for every instance of a release.
    pub(super) fn spec(&self, instance: Name, version: &Name, artifact: &Artifact) -> LaunchSpec {
        let service = &self.service;
        let (program, directory) = started_from(service, artifact);
        LaunchSpec {
            service: service.name.clone(),
            instance,
            version: version.clone(),
            digest: artifact.digest,
            program,
            args: service.args.clone(),
            env: service.env.clone(),
            directory,
            health: HealthCheck { path: service.health.path.clone(), timeout: service.health.timeout },
        }
    }
}

/// The program, and the directory that it works in.
fn started_from(service: &Service, artifact: &Artifact) -> (PathBuf, PathBuf) {
    let below = |directory: &Path| match &service.program {
        Some(path) => directory.join(path.as_str()),
        None => directory.to_path_buf(),
    };
    let Some(releases) = &service.releases else {
        let program = below(&artifact.path);
        let directory = program.parent().map_or_else(|| artifact.path.clone(), Path::to_path_buf);
        return (program, directory);
    };
    let release = releases.join(artifact.digest.hex());
    let program = match (&service.program, artifact.path.file_name()) {
        (None, Some(file)) => release.join(file),
        _ => below(&release),
    };
    (program, release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;
    use crate::name::Digest;
    use crate::port::HostPath;

    fn started(program: Option<&str>, releases: Option<&str>) -> [String; 2] {
        let mut service = Service::new(name!("web"));
        service.program = program.map(|path| HostPath::new(path).unwrap());
        service.releases = releases.map(PathBuf::from);
        let artifact = Artifact { digest: Digest::of(b"web"), path: "/build/abc/web".into() };
        let (program, directory) = started_from(&service, &artifact);
        [program, directory].map(|path| path.display().to_string().replace(&artifact.digest.hex(), "DIGEST"))
    }

    #[test]
    fn an_instance_runs_the_artefact_from_where_it_was_built_or_from_its_release() {
        assert_eq!(started(None, None), ["/build/abc/web", "/build/abc"]);
        assert_eq!(started(Some("bin/run"), None), ["/build/abc/web/bin/run", "/build/abc/web/bin"]);
        let releases = Some("/srv/shop/releases");
        assert_eq!(
            started(Some("dist/server.js"), releases),
            ["/srv/shop/releases/DIGEST/dist/server.js", "/srv/shop/releases/DIGEST"]
        );
        assert_eq!(started(None, releases), ["/srv/shop/releases/DIGEST/web", "/srv/shop/releases/DIGEST"]);
    }
}
