//! A whole deployment world in memory, so that a test of deploy logic reads like the rule that it proves.

mod failure;
mod release;
mod setup;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::gate::Thresholds;
use flow_core::plan::Approvals;
use flow_core::policy::Policy;
use flow_core::report::Report;
use flow_core::strategy::Strategy;
use flow_core::{Actor, Clock as _, Environment, Name, Problems, RunId, Service, Setting, Stopped, Workflow};

use crate::fake::{
    FakeFleet, FakeMetrics, FleetInstances, FleetRouter, MemoryEvidence, MemoryVault, StrictJournal,
    VirtualClock,
};
use crate::fault::Faults;
use crate::ledger::Ledger;

pub use failure::NotDeployed;

/// How long a resumed run waits for the lease of the process that died: twice what a lease lasts.
const PATIENCE: Duration = Duration::from_secs(60);

/// A deployment world in memory: one virtual clock, one [ledger](Ledger), a fleet and its users, a journal, a vault and
/// evidence.
///
/// It is used under `#[tokio::test(start_paused = true)]`, where minutes of virtual time take no time. Nothing in it panics: what
/// is set up wrongly fails the deployment with [`NotDeployed::Misused`].
///
/// ```
/// use flow_core::strategy::BlueGreen;
/// use flow_testkit::{World, weights};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), flow_testkit::world::NotDeployed> {
/// let world = World::new().with_service("web", 4).serving("1.0.0");
/// world.deploy("1.1.0", BlueGreen::default()).await?;
/// assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
/// assert!(world.ledger().refusals().is_empty());
/// # Ok(())
/// # }
/// ```
pub struct World {
    clock: VirtualClock,
    ledger: Ledger,
    fleet: FakeFleet,
    metrics: FakeMetrics,
    vault: MemoryVault,
    evidence: MemoryEvidence,
    journal: StrictJournal,
    services: Vec<Service>,
    gate: Option<Thresholds>,
    environment: Environment,
    policy: Policy,
    approvers: Vec<Actor>,
    /// What was set up wrongly; the first deployment says so.
    problems: Problems,
    runs: Mutex<Runs>,
}

/// The runs so far.
#[derive(Default)]
struct Runs {
    begun: u32,
    latest: Option<Run>,
}

/// What it takes to take a run up again.
#[derive(Clone)]
struct Run {
    id: RunId,
    setting: Setting,
    workflow: Workflow,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("environment", &self.environment)
            .field("services", &self.services)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Deploys `release` of all services by `strategy`, as one run of all eight stages. The work of the other stages is done
    /// by a [`FakeStep`](crate::fake::FakeStep) each, named like its stage in lower case, so a fault at `step.run` about
    /// `verify` lets the last stage fail.
    ///
    /// # Errors
    /// [`NotDeployed`] says why not, and [where](NotDeployed::at).
    pub async fn deploy(
        &self,
        release: &str,
        strategy: impl Strategy + 'static,
    ) -> Result<Report, NotDeployed> {
        let workflow = self.workflow(release, strategy)?;
        self.carry_out(release, &workflow).await
    }

    /// Deploys `release` by a workflow of the test's own. What it works on may be this world's: see
    /// [`workflow`](Self::workflow) and the fakes.
    ///
    /// # Errors
    /// See [`deploy`](Self::deploy).
    pub async fn carry_out(&self, release: &str, workflow: &Workflow) -> Result<Report, NotDeployed> {
        let setting = self.setting(release)?;
        let id = self.next_run()?;
        let durable = self.durable(id.clone());
        let latest = Run { id, setting: setting.clone(), workflow: workflow.clone() };
        self.runs().latest = Some(latest);
        self.alive(async {
            let proposed = workflow.plan(&setting).await.map_err(NotDeployed::Refused)?;
            let expires =
                self.clock.now().checked_add(Duration::from_hours(1)).unwrap_or(jiff::Timestamp::MAX);
            let approvals = self
                .approvers
                .iter()
                .fold(Approvals::none(), |approvals, by| approvals.by(by.clone(), proposed.hash, expires));
            let approved = proposed.approve(&approvals).map_err(NotDeployed::NotApproved)?;
            workflow.run(approved, &durable).await.map_err(stopped)
        })
        .await
    }

    /// Takes the latest run up again, as a new process would: from the journal, once the dead one's lease has ended.
    ///
    /// # Errors
    /// See [`deploy`](Self::deploy).
    pub async fn resume(&self) -> Result<Report, NotDeployed> {
        let Some(Run { id, setting, workflow }) = self.runs().latest.clone() else {
            let mut problems = Problems::default();
            problems.add("resume", "nothing was deployed yet");
            return Err(NotDeployed::Misused(problems));
        };
        let durable = self.durable(id);
        self.alive(async { workflow.carry_on(&setting, &durable).await.map_err(stopped) }).await
    }

    /// What `release` is deployed with: this world's clock, vault and evidence.
    ///
    /// # Errors
    /// [`NotDeployed::Misused`] with everything that is set up wrongly, the release's name included.
    pub fn setting(&self, release: &str) -> Result<Setting, NotDeployed> {
        let release = self.release(release)?;
        let initiator = crate::context::<flow_core::stage::Prepare>().initiator().clone();
        let mut setting = Setting::new(setup::application(), self.environment, release, initiator);
        setting.policy = self.policy.clone();
        if self.policy.proved_in.is_some() {
            setting.artifacts = self.artifacts(&setting.release).values().map(|built| built.digest).collect();
        }
        setting.clock = Arc::new(self.clock.clone());
        setting.vault = Some(Arc::new(self.vault.clone()));
        setting.evidence = Some(Arc::new(self.evidence.clone()));
        Ok(setting)
    }

    /// Durable calls of `run` in this world's journal.
    #[must_use]
    pub fn durable(&self, run: RunId) -> Journaled<StrictJournal> {
        Journaled::new(Arc::new(self.journal.clone()), run).patience(PATIENCE)
    }

    /// The world's faults: what is to go wrong, and whether it did.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        self.ledger.faults()
    }

    /// Every call of every fake of this world.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// The process manager and router of all services.
    #[must_use]
    pub const fn fleet(&self) -> &FakeFleet {
        &self.fleet
    }

    /// What is counted of the fleet's users, for gates: nobody comes unless a test lets them.
    #[must_use]
    pub const fn metrics(&self) -> &FakeMetrics {
        &self.metrics
    }

    /// The instances of a service, from outside the run. One that does not exist has none.
    #[must_use]
    pub fn instances(&self, service: &str) -> FleetInstances {
        self.fleet.instances_of(service)
    }

    /// Where the traffic of a service goes, from outside the run. One that does not exist has none.
    #[must_use]
    pub fn router(&self, service: &str) -> FleetRouter {
        self.fleet.router_of(service)
    }

    /// The journal of all runs.
    #[must_use]
    pub const fn journal(&self) -> &StrictJournal {
        &self.journal
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> &MemoryVault {
        &self.vault
    }

    /// What finished runs proved.
    #[must_use]
    pub const fn evidence(&self) -> &MemoryEvidence {
        &self.evidence
    }

    /// Drives a process of this world, until it ends or a fault of the test ends it.
    async fn alive<T>(
        &self,
        process: impl Future<Output = Result<T, NotDeployed>>,
    ) -> Result<T, NotDeployed> {
        if !VirtualClock::is_paused() {
            let mut problems = Problems::default();
            problems.add("clock", "time is not paused: use `#[tokio::test(start_paused = true)]`");
            return Err(NotDeployed::Misused(problems));
        }
        self.faults().survive(process).await.unwrap_or(Err(NotDeployed::Died))
    }

    fn next_run(&self) -> Result<RunId, NotDeployed> {
        let begun = {
            let mut runs = self.runs();
            runs.begun += 1;
            runs.begun
        };
        RunId::new(format!("run-{begun}")).map_err(|_| NotDeployed::Misused(Problems::default()))
    }

    fn release(&self, release: &str) -> Result<Name, NotDeployed> {
        let mut problems = self.problems.clone();
        problems.check(!self.services.is_empty(), "services", "a world deploys at least one");
        let name = Name::new(release);
        if let Err(invalid) = &name {
            problems.add("release", invalid.to_string());
        }
        match name {
            Ok(name) if problems.as_slice().is_empty() => Ok(name),
            _ => Err(NotDeployed::Misused(problems)),
        }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopped(stopped: Stopped) -> NotDeployed {
    NotDeployed::Stopped(Box::new(stopped))
}
