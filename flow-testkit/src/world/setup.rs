use std::sync::Mutex;

use flow_core::gate::Thresholds;
use flow_core::journal::MemoryJournal;
use flow_core::policy::{Policy, Proof};
use flow_core::port::{
    EvidenceStore as _, LaunchSpec, ProcessManager as _, Route, Router as _, Routing, RunEvidence,
};
use flow_core::{
    Actor, Clock as _, Digest, Environment, Fence, Name, Problems, RunId, Service, StepError, name,
};
use futures::FutureExt as _;

use super::{Runs, World};
use crate::fake::{FakeFleet, FakeMetrics, MemoryEvidence, MemoryVault, StrictJournal, VirtualClock};
use crate::ledger::Ledger;
use crate::permit_under;

/// What every world deploys.
pub(super) fn application() -> Name {
    name!("shop")
}

impl World {
    /// An empty world: application `shop` in staging, without services.
    #[must_use]
    pub fn new() -> Self {
        let (ledger, clock) = (Ledger::new(), VirtualClock::new());
        let journal = MemoryJournal::on(std::sync::Arc::new(clock.clone()));
        let fleet = FakeFleet::in_ledger(&ledger);
        Self {
            metrics: FakeMetrics::of_fleet(&fleet),
            fleet,
            vault: MemoryVault::in_ledger(&ledger),
            evidence: MemoryEvidence::in_ledger(&ledger),
            journal: StrictJournal::in_ledger(journal, &ledger),
            services: Vec::new(),
            gate: None,
            environment: Environment::Staging,
            policy: Policy::standard(Environment::Staging),
            approvers: Vec::new(),
            problems: Problems::default(),
            runs: Mutex::new(Runs::default()),
            clock,
            ledger,
        }
    }

    /// Adds a service of `size` instances.
    #[must_use]
    pub fn with_service(mut self, name: &str, size: u32) -> Self {
        match Name::new(name) {
            Ok(name) => self.with(Service { size, ..Service::new(name) }),
            Err(invalid) => {
                self.problems.add("service", invalid.to_string());
                self
            }
        }
    }

    /// Adds a service with all that it is, for instance what it needs.
    #[must_use]
    pub fn with(mut self, service: Service) -> Self {
        if let Err(problems) = service.check() {
            for problem in problems.as_slice() {
                self.problems.add(format!("{}.{}", service.name, problem.field), &problem.problem);
            }
        }
        if self.services.iter().any(|known| known.name == service.name) {
            self.problems.add(service.name.as_str(), "there are two services of this name");
        }
        self.services.push(service);
        self
    }

    /// Lets all services added so far serve `release`, each with all its instances.
    #[must_use]
    pub fn serving(mut self, release: &str) -> Self {
        let served = Name::new(release).map_err(|invalid| invalid.to_string());
        let served = served.and_then(|release| self.serve(&release).map_err(|error| error.to_string()));
        if let Err(problem) = served {
            self.problems.add("serving", problem);
        }
        self
    }

    /// Lets `gate` watch every rollout, by what [is counted](World::metrics).
    #[must_use]
    pub fn gated(mut self, gate: Thresholds) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Deploys to `environment`, under the standard's policy for it. A policy that asks for evidence makes the plan name its
    /// artefacts.
    #[must_use]
    pub fn in_environment(self, environment: Environment) -> Self {
        let policy = Policy::standard(environment);
        Self { environment, policy, ..self }
    }

    /// Deploys under a policy of the test's own.
    #[must_use]
    pub fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Counts the services added so far, built as `release`, as proved where the policy asks for it, from now on and for as
    /// long as the policy lets a proof count.
    #[must_use]
    pub fn proved(mut self, release: &str) -> Self {
        let proved = Name::new(release).map_err(|invalid| invalid.to_string());
        let proved = proved.and_then(|release| self.prove(release).map_err(|error| error.to_string()));
        if let Err(problem) = proved {
            self.problems.add("proved", problem);
        }
        self
    }

    /// Lets this person approve every plan.
    #[must_use]
    pub fn approved_by(mut self, person: &str) -> Self {
        match Actor::new(person) {
            Ok(actor) => self.approvers.push(actor),
            Err(invalid) => self.problems.add("approved_by", invalid.to_string()),
        }
        self
    }

    /// Launches and routes by the fleet's own calls, so that this world is one that its fakes would have let come about.
    fn serve(&self, release: &Name) -> Result<(), StepError> {
        let artifacts = self.artifacts(release);
        for service in &self.services {
            let Some(artifact) = artifacts.get(&service.artifact) else { continue };
            let mut addresses = Vec::new();
            for index in 0..service.size {
                let digest = artifact.digest.short();
                let key = format!("world/{}/{release}/{index}", service.name);
                let spec = LaunchSpec {
                    service: service.name.clone(),
                    instance: Name::new(format!("{release}-{digest}-{index}"))
                        .map_err(|invalid| StepError::in_doubt("no id").because(invalid))?,
                    version: release.clone(),
                    digest: artifact.digest,
                    program: artifact.path.clone(),
                    args: service.args.clone(),
                    env: service.env.clone(),
                    directory: artifact.path.clone(),
                    health: service.health.clone(),
                };
                let permit = permit_under(&key, Fence(0), 1);
                addresses.push(now(self.fleet.launch(&permit, &spec))?.address);
                // The fleet lets nobody send users to an instance that was not seen healthy.
                now(self.fleet.health(&service.name, &spec.instance))?;
            }
            let route = Route { weight: 100, addresses };
            let routing = Routing([(release.clone(), route)].into());
            let permit = permit_under(&format!("world/{}/{release}/route", service.name), Fence(0), 1);
            now(self.fleet.route(&permit, &service.name, &routing))?;
        }
        Ok(())
    }

    fn prove(&self, release: Name) -> Result<(), StepError> {
        let recorded = self.clock.now();
        let lasts = self.policy.evidence_lasts;
        let run = RunId::new(format!("proof-{release}"))
            .map_err(|invalid| StepError::in_doubt("no id").because(invalid))?;
        let evidence = RunEvidence {
            application: application(),
            environment: self.policy.proved_in.unwrap_or(Environment::Staging),
            digests: self.artifacts(&release).values().map(|built| built.digest).collect(),
            proved: Proof::ALL.to_vec(),
            head: Digest::of(release.as_str().as_bytes()),
            expires: recorded.checked_add(lasts).unwrap_or(jiff::Timestamp::MAX),
            recorded,
            release,
            run,
        };
        now(self.evidence.record(&permit_under("world/proof", Fence(0), 1), &evidence))
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// A fake answers at once, unless a fault of the test lets it hang.
fn now<T>(call: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    let hangs = || Err(StepError::in_doubt("a fault was put there before the world stood"));
    call.now_or_never().unwrap_or_else(hangs)
}
