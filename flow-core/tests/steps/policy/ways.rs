//! The four borders, whichever way a run comes to them: through a crash, held and tried again, stage by stage.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::{Call, Capabilities, Durable, Journaled, Milestone, Opening, PerformError};
use flow_core::gate::{Figure, StandardGate};
use flow_core::journal::{MemoryJournal, Record, Recorded, Signal};
use flow_core::machine::{CallKey, State};
use flow_core::plan::OnFailure;
use flow_core::policy::{Border, Proof, Violation};
use flow_core::report::Report;
use flow_core::stage::{
    Activity as _, Migrate, MigrateActivity, Prepare, PrepareActivity, Stage, StageName, Verify,
    VerifyActivity,
};
use flow_core::steps::{ApplyMigrations, AssessImpact, BackUp, CheckScripts, ConfirmOrder, ConfirmScope};
use flow_core::{
    Actor, CancelToken, Clock as _, Environment, Failed, FailedState, Resumed, RunId, Setting, Stopped,
    Undone, Work, Workflow, name,
};
use tokio::sync::Notify;

use super::claims::Claims;
use super::line::Line;

const BORDERS: [Border; 4] = [Border::Prepared, Border::BeforeApply, Border::Migrated, Border::Verified];

/// Whether the claiming step proves what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Its,
    Not,
}

/// A workflow in which all that is due at `border` depends on the step `claims`, the last one before it.
fn claiming(line: &Line, border: Border, keeps: Keeps) -> Workflow {
    let mut workflow = line.workflow();
    let database = Arc::new(line.shop.world.database.clone());
    let proves = |proofs: &[Proof]| if keeps == Keeps::Its { proofs.to_vec() } else { Vec::new() };
    let checked = Work::step(CheckScripts::new(database.clone()))
        .then(AssessImpact::new(database.clone()))
        .then(BackUp::new(database.clone()));
    let migrating = |covers, proof| Claims::<Migrate> {
        says: vec![proof],
        proves: proves(&[proof]),
        resources: vec![name!("database")],
        ..Claims::new(name!("claims"), &[covers])
    };
    match border {
        Border::Prepared => {
            let says = [Proof::RollbackPlan, Proof::SecurityConfiguration, Proof::Permissions];
            let activities = [PrepareActivity::EnvironmentState, PrepareActivity::RollbackPlan];
            let claims = Claims::<Prepare> {
                says: says.to_vec(),
                proves: proves(&says),
                ..Claims::new(name!("claims"), &activities)
            };
            workflow.prepare = Work::step(ConfirmScope::new()).then(ConfirmOrder::new()).then(claims);
        }
        Border::BeforeApply => {
            let claims = migrating(MigrateActivity::Backup, Proof::BackupRestored);
            workflow.migrate = checked.then(claims).then(ApplyMigrations::new(database));
        }
        Border::Migrated => {
            workflow.migrate = checked.then(migrating(MigrateActivity::Apply, Proof::MigrationVerified));
        }
        _ => {
            let figure = |gate: StandardGate| {
                let value = if gate == StandardGate::Availability { 99.95 } else { gate.limit() * 0.5 };
                Figure { gate, value, measured: "by hand".to_owned() }
            };
            workflow.verify = Work::step(Claims::<Verify> {
                says: Proof::TESTS.to_vec(),
                measures: StandardGate::ALL.to_vec(),
                figures: if keeps == Keeps::Its {
                    StandardGate::ALL.map(figure).to_vec()
                } else {
                    Vec::new()
                },
                ..Claims::new(name!("claims"), VerifyActivity::ALL)
            });
        }
    }
    workflow
}

/// What a run breaks at `border` whose claiming step does not keep what it says.
fn broken(border: Border) -> Vec<Violation> {
    let environment = Environment::Production;
    let unproved = |proof| Violation::Unproved { step: name!("claims"), proof, border, environment };
    match border {
        Border::Prepared => [Proof::SecurityConfiguration, Proof::Permissions].map(unproved).to_vec(),
        Border::BeforeApply => vec![unproved(Proof::BackupRestored)],
        Border::Migrated => vec![unproved(Proof::MigrationVerified)],
        _ => StandardGate::ALL.map(|gate| Violation::NotMeasured { gate, environment }).to_vec(),
    }
}

fn stage_of(border: Border) -> StageName {
    match border {
        Border::Prepared => StageName::Prepare,
        Border::BeforeApply | Border::Migrated => StageName::Migrate,
        _ => StageName::Verify,
    }
}

/// An owner that dies when the receipt of `claims` is recorded, and nothing after it is.
struct Dying {
    inner: Journaled<MemoryJournal>,
    dead: Notify,
}

#[async_trait]
impl Durable for Dying {
    fn run(&self) -> &RunId {
        self.inner.run()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, opening: Opening) -> Result<State, PerformError> {
        self.inner.open(opening).await
    }

    async fn perform(&self, call: Call) -> Result<Recorded, PerformError> {
        let last = call.key.step == name!("claims");
        let performed = self.inner.perform(call).await?;
        if last {
            // Reading the history makes all of it durable.
            self.inner.history().await?;
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(performed)
    }

    async fn read(&self, call: Call) -> Result<Recorded, PerformError> {
        self.inner.read(call).await
    }

    async fn sleep(&self, key: CallKey, time: Duration, cancel: CancelToken) -> Result<(), PerformError> {
        self.inner.sleep(key, time, cancel).await
    }

    async fn wait(
        &self,
        key: CallKey,
        deadline: Option<Duration>,
        cancel: CancelToken,
    ) -> Result<Signal, PerformError> {
        self.inner.wait(key, deadline, cancel).await
    }

    async fn publish(&self, milestone: Milestone) -> Result<(), PerformError> {
        self.inner.publish(milestone).await
    }

    async fn state(&self) -> Result<State, PerformError> {
        self.inner.state().await
    }

    async fn history(&self) -> Result<Vec<Record>, PerformError> {
        self.inner.history().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A run whose owner died right before `border`, taken up by one whose step would do the opposite: a border that looked at
/// anything but the recorded receipts, or let the step run again, would judge otherwise.
async fn taken_up(line: &Line, border: Border, recorded: Keeps) -> Result<Report, Stopped> {
    let setting = line.production();
    let dying = Dying { inner: line.durable("production"), dead: Notify::new() };
    let workflow = claiming(line, border, recorded);
    let approved = line.approved(&workflow, &setting).await;
    tokio::select! {
        ended = workflow.run(approved, &dying) => panic!("{border}: {ended:?}"),
        () = dying.dead.notified() => {}
    }
    let before = dying.inner.state().await.unwrap();
    assert_eq!(before.running().unwrap().stage, Some(stage_of(border)), "the stage is not finished");
    drop(dying);
    line.clock.sleep(Duration::from_secs(31)).await;
    let opposite = if recorded == Keeps::Its { Keeps::Not } else { Keeps::Its };
    claiming(line, border, opposite).carry_on(&setting, &line.durable("production")).await
}

#[tokio::test(start_paused = true)]
async fn a_crash_behind_the_last_receipt_skips_no_border() {
    for border in BORDERS {
        let line = Line::promoted().await;
        let before = (line.shop.world.seen(), line.shop.weights().await);
        let stopped = taken_up(&line, border, Keeps::Not).await.unwrap_err();
        let Stopped::RolledBack { error: Some(error), .. } = stopped else { panic!("{border}: {stopped:?}") };
        assert_eq!(error.violations(), broken(border));
        assert_eq!((line.shop.world.seen(), line.shop.weights().await), before, "{border}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_behind_the_last_receipt_loses_no_proof() {
    for border in BORDERS {
        let line = Line::promoted().await;
        if let Err(stopped) = taken_up(&line, border, Keeps::Its).await {
            panic!("{border}: {stopped:?}");
        }
        assert_eq!(line.shop.evidence.all().last().unwrap().proved, Proof::ALL, "{border}");
    }
}

/// Production where a failure holds the run.
fn holding(line: &Line) -> Setting {
    let mut setting = line.production();
    setting.on_failure = OnFailure::Hold;
    setting
}

/// Rolls back a held run that was taken up, at whichever stage it stands.
async fn roll_back(resumed: Resumed) -> Undone {
    let (ann, reason) = (Actor::new("ann").unwrap(), "it was not proved");
    let undone = match resumed {
        Resumed::Prepare(deployment, _) => deployment.roll_back(&ann, reason).await,
        Resumed::Migrate(deployment, _) => deployment.roll_back(&ann, reason).await,
        Resumed::Verify(deployment, _) => deployment.roll_back(&ann, reason).await,
        other => panic!("{other:?}"),
    };
    undone.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_held_at_a_border_says_that_a_retry_proves_nothing_and_can_be_rolled_back_and_run_anew() {
    for border in BORDERS {
        let line = Line::promoted().await;
        let before = (line.shop.world.seen(), line.shop.weights().await);
        let setting = holding(&line);
        let stopped =
            line.run(&claiming(&line, border, Keeps::Not), &setting, "production").await.unwrap_err();
        let changes = line.shop.world.changes();
        let told = format!("the policy is broken {border}, which no retry of this run can mend");
        let mended = claiming(&line, border, Keeps::Its);
        let again = mended.carry_on(&setting, &line.durable("production")).await.unwrap_err();
        for stopped in [stopped, again] {
            let Stopped::Held(error) = stopped else { panic!("{border}: {stopped:?}") };
            assert_eq!(error.violations(), broken(border));
            assert!(error.to_string().contains(&told), "{error}");
        }
        assert_eq!(line.shop.world.changes(), changes, "{border}: nothing was done again");
        let resumed = mended.clone().resume(&setting, Arc::new(line.durable("production"))).await.unwrap();
        let Undone::RolledBack(report) = roll_back(resumed).await else { panic!("{border}") };
        let (report, stage) = (report.to_markdown(), stage_of(border));
        assert!(report.contains(&format!("The run stopped in stage {stage}: {told}")), "{report}");
        assert_eq!((line.shop.world.seen(), line.shop.weights().await), before, "{border}");
        line.run(&mended, &setting, "another").await.unwrap();
    }
}

/// Where a chain of stages stopped, and what it broke.
fn halt<S: Stage>(failed: Failed<S>) -> (StageName, Vec<Violation>) {
    let Failed { error, state } = failed;
    assert!(matches!(state, FailedState::RolledBack(_)), "{error}: {state:?}");
    (error.stage, error.violations().to_vec())
}

async fn stage_by_stage(
    line: &Line,
    workflow: Workflow,
    run: &str,
) -> Result<Report, (StageName, Vec<Violation>)> {
    let approved = line.approved(&workflow, &line.production()).await;
    let (deployment, work) = workflow.begin(approved, Arc::new(line.durable(run))).await.unwrap();
    let deployment = deployment.run(work.prepare).await.map_err(halt)?;
    let deployment = deployment.run(work.build).await.map_err(halt)?;
    let deployment = deployment.run(work.migrate).await.map_err(halt)?;
    let deployment = deployment.run(work.assets).await.map_err(halt)?;
    let deployment = deployment.run(work.services).await.map_err(halt)?;
    let deployment = deployment.run(work.functions).await.map_err(halt)?;
    let deployment = deployment.run(work.monitoring).await.map_err(halt)?;
    Ok(deployment.run(work.verify).await.map_err(halt)?.finish())
}

#[tokio::test(start_paused = true)]
async fn stage_by_stage_a_run_is_stopped_at_the_same_borders() {
    for border in BORDERS {
        let line = Line::promoted().await;
        let before = (line.shop.world.seen(), line.shop.weights().await);
        let halted = stage_by_stage(&line, claiming(&line, border, Keeps::Not), "production").await;
        assert_eq!(halted.unwrap_err(), (stage_of(border), broken(border)), "{border}");
        assert_eq!((line.shop.world.seen(), line.shop.weights().await), before, "{border}");
        stage_by_stage(&line, claiming(&line, border, Keeps::Its), "another").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_held_at_its_border_is_held_there_again_and_can_be_rolled_back() {
    let line = Line::promoted().await;
    let workflow = claiming(&line, Border::Prepared, Keeps::Not);
    let approved = line.approved(&workflow, &holding(&line)).await;
    let durable = Arc::new(line.durable("production"));
    let (mut deployment, work) = workflow.begin(approved, durable).await.unwrap();
    for _ in 0..2 {
        let failed = deployment.run(work.prepare.clone()).await.unwrap_err();
        assert_eq!(failed.error.violations(), broken(Border::Prepared));
        let FailedState::Held(held) = failed.state else { panic!("{failed}") };
        deployment = held;
    }
    let undone = deployment.roll_back(&Actor::new("ann").unwrap(), "it was not proved").await.unwrap();
    assert!(matches!(undone, Undone::RolledBack(_)), "{undone:?}");
}
