use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::gate::{Figure, StandardGate};
use flow_core::policy::Proof;
use flow_core::receipt::{BuildFacts, MigrateFacts, PrepareFacts};
use flow_core::stage::{
    Assets, Build, Functions, Migrate, MigrateActivity, Monitoring, Prepare, Services, ServicesActivity,
    Stage, Verify,
};
use flow_core::strategy::{FleetShape, Move, RolloutView, Strategy};
use flow_core::{Artifact, Digest, Name, Problems, Work, Workflow, name};
use serde_json::Value;

use super::{NotDeployed, World};
use crate::fake::FakeStep;

impl World {
    /// The workflow that [`deploy`](Self::deploy) carries out: a test replaces the field that it is about.
    ///
    /// ```
    /// use flow_core::stage::Migrate;
    /// use flow_core::strategy::BlueGreen;
    /// use flow_core::{Work, Workflow, name};
    /// use flow_testkit::World;
    /// use flow_testkit::fake::FakeStep;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), flow_testkit::world::NotDeployed> {
    /// let world = World::new().with_service("web", 2);
    /// let mine = FakeStep::<Migrate>::in_ledger(name!("add-column"), world.ledger());
    /// let workflow = Workflow {
    ///     migrate: Work::step(mine.clone()),
    ///     ..world.workflow("1.0.0", BlueGreen::default())?
    /// };
    /// world.carry_out("1.0.0", &workflow).await?;
    /// assert_eq!(mine.stands().as_deref(), Some("1.0.0"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotDeployed::Misused`] with everything that is set up wrongly, the release's name included.
    pub fn workflow(
        &self,
        release: &str,
        strategy: impl Strategy + 'static,
    ) -> Result<Workflow, NotDeployed> {
        let release = self.release(release)?;
        let artifacts = self.artifacts(&release);
        let backup = Artifact { digest: Digest::of(b"backup"), path: "/backups/1".into() };
        let started = self.services.iter().map(|service| service.name.clone()).collect();
        Ok(Workflow {
            prepare: Work::step(
                self.step::<Prepare>(name!("prepare"))
                    .giving(PrepareFacts { start_order: started })
                    .proving([Proof::SecurityConfiguration, Proof::Permissions]),
            ),
            build: Work::step(
                self.step::<Build>(name!("build")).giving(BuildFacts { artifacts, ..BuildFacts::default() }),
            ),
            migrate: Work::step(
                self.step::<Migrate>(name!("backup"))
                    .covering([MigrateActivity::Scripts, MigrateActivity::Backup, MigrateActivity::Impact])
                    .giving(MigrateFacts { backup: Some(backup), ..MigrateFacts::default() })
                    .proving([Proof::BackupRestored]),
            )
            .then(
                self.step::<Migrate>(name!("migrate"))
                    .covering([MigrateActivity::Apply])
                    .proving([Proof::MigrationVerified]),
            ),
            assets: Work::step(self.step::<Assets>(name!("assets"))),
            services: self.rollouts(&Shared(Arc::new(strategy))),
            functions: Work::step(self.step::<Functions>(name!("functions"))),
            monitoring: Work::step(self.step::<Monitoring>(name!("monitoring"))),
            verify: Work::step(
                StandardGate::ALL
                    .into_iter()
                    .map(on_a_good_day)
                    .fold(self.step::<Verify>(name!("verify")), FakeStep::measuring),
            ),
        })
    }

    /// The cheapest step there is, in this world.
    fn step<S: Stage>(&self, name: Name) -> FakeStep<S> {
        FakeStep::in_ledger(name, &self.ledger)
    }

    /// All services by one strategy; packages are a fake step's.
    fn rollouts(&self, strategy: &Shared) -> Work<Services> {
        let packages =
            self.step::<Services>(name!("services")).covering([ServicesActivity::InstallDependencies]);
        let rollout = |service: &flow_core::Service| {
            let fleet = Arc::new(self.fleet.clone());
            let rollout = Work::<Services>::rollout(strategy.clone(), service.clone());
            match &self.gate {
                Some(gate) => rollout.watched_by(Arc::new(self.metrics.clone()), gate.clone()),
                None => rollout,
            }
            .on(fleet.clone(), fleet)
        };
        self.services.iter().map(rollout).fold(Work::step(packages), Work::then_work)
    }

    /// What the build of `release` gives.
    pub(super) fn artifacts(&self, release: &Name) -> BTreeMap<Name, Artifact> {
        let built = |artifact: &Name| {
            let digest = Digest::of(format!("{artifact} {release}").as_bytes());
            (artifact.clone(), Artifact { digest, path: format!("/releases/{digest}").into() })
        };
        self.services.iter().map(|service| built(&service.artifact)).collect()
    }
}

/// A figure that holds.
fn on_a_good_day(gate: StandardGate) -> Figure {
    let value = if gate == StandardGate::Availability { 100.0 } else { 0.0 };
    Figure { gate, value, measured: "by nobody: a fake's".to_owned() }
}

/// One strategy for several services.
#[derive(Clone)]
struct Shared(Arc<dyn Strategy>);

impl Strategy for Shared {
    fn name(&self) -> Name {
        self.0.name()
    }

    fn definition(&self) -> Value {
        self.0.definition()
    }

    fn check(&self, fleet: &FleetShape) -> Result<(), Problems> {
        self.0.check(fleet)
    }

    fn decide(&self, view: &RolloutView) -> Move {
        self.0.decide(view)
    }
}
