//! An owner that stops in the middle leaves the run to others at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::{Durable, Journaled, PerformError};
use flow_core::journal::MemoryJournal;
use flow_core::plan::OnFailure;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::stage::Monitoring;
use flow_core::{
    Actor, Digest, Environment, ErrorKind, Name, Permit, Resumed, StepError, Stopped, Work, Workflow, name,
};

use crate::probe::{Bench, Ends, Probe};
use crate::promises::{approved, one};
use crate::store::{Asked, Does, Faulty};

/// Another owner, who takes the run now or not at all.
fn another(journal: &MemoryJournal) -> Journaled<MemoryJournal> {
    Journaled::new(Arc::new(journal.clone()), one())
}

fn failing(bench: &Bench) -> Workflow {
    let mut workflow = bench.workflow();
    workflow.monitoring =
        Work::step(Probe::<Monitoring>::new(name!("monitor"), &bench.log).ending(Ends::InDoubt));
    workflow
}

/// A store that takes no append once something was undone.
fn forgets_undos(bench: &Bench, journal: &MemoryJournal) -> Arc<Faulty> {
    let log = bench.log.clone();
    Arc::new(Faulty::over(journal, move |asked| {
        let undone = log.lines().iter().any(|line| line.starts_with("undo"));
        if asked == Asked::Append && undone { Does::Refuses } else { Does::Passes }
    }))
}

#[tokio::test(start_paused = true)]
async fn a_held_run_is_carried_on_by_the_owner_that_held_it() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.on_failure = OnFailure::Hold;
    let mut workflow = bench.workflow();
    workflow.prepare = Work::step(Probe::new(name!("prepare"), &bench.log).ending(Ends::OnceRejected));
    let durable = another(&MemoryJournal::on(setting.clock.clone()));
    let ended = workflow.run(approved(&workflow, &setting).await, &durable).await;
    assert!(matches!(ended, Err(Stopped::Held(_))), "{ended:?}");
    workflow.carry_on(&setting, &durable).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_undo_cannot_be_recorded_is_free_for_another_owner_at_once() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = failing(&bench);
    let first = Journaled::new(forgets_undos(&bench, &journal), one());
    let ended = workflow.run(approved(&workflow, &setting).await, &first).await;
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    let ended = workflow.carry_on(&setting, &another(&journal)).await;
    assert!(matches!(ended, Err(Stopped::RolledBack { .. })), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_cannot_be_given_up_is_free_for_another_owner_at_once() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let first: Arc<dyn Durable> = Arc::new(Journaled::new(forgets_undos(&bench, &journal), one()));
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let (deployment, work) = workflow.clone().begin(plan, first.clone()).await.unwrap();
    let deployment = deployment.run(work.prepare).await.unwrap();
    let refused = deployment.roll_back(&Actor::new("ann").unwrap(), "enough").await;
    assert!(matches!(refused, Err(PerformError::Unavailable(_))), "{refused:?}");
    let resumed = workflow.resume(&setting, Arc::new(another(&journal))).await.unwrap();
    assert!(matches!(resumed, Resumed::RollingBack(_)), "{resumed:?}");
    drop(first);
}

/// An evidence store that has no room.
#[derive(Debug)]
struct NoRoom;

#[async_trait]
impl EvidenceStore for NoRoom {
    async fn record(&self, _: &Permit, _: &RunEvidence) -> Result<(), StepError> {
        Err(StepError::new(ErrorKind::Unavailable, "no room"))
    }

    async fn find(&self, _: &Name, _: Environment, _: &Digest) -> Result<Vec<RunEvidence>, StepError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_run_whose_evidence_cannot_be_kept_is_free_for_another_owner_at_once() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.policy.evidence_lasts = Duration::from_secs(3600);
    let kept = setting.evidence.replace(Arc::new(NoRoom));
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = bench.workflow();
    let first = another(&journal);
    let ended = workflow.run(approved(&workflow, &setting).await, &first).await;
    assert!(matches!(ended, Err(Stopped::HandedOver(PerformError::Unavailable(_)))), "{ended:?}");
    let second = another(&journal);
    let ended = workflow.carry_on(&setting, &second).await;
    assert!(matches!(ended, Err(Stopped::NotBegun(_))), "{ended:?}");
    // The third has another policy, but the run was approved under its own.
    setting.policy.evidence_lasts = Duration::from_secs(7 * 24 * 3600);
    setting.evidence = kept;
    workflow.carry_on(&setting, &another(&journal)).await.unwrap();
    let evidence = bench.evidence.all();
    let [evidence] = evidence.as_slice() else { panic!("{evidence:?}") };
    let lasts = evidence.expires.duration_since(evidence.recorded);
    assert_eq!(lasts.unsigned_abs(), Duration::from_secs(3600));
}
