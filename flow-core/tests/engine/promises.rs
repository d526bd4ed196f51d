//! What the engine promises of a single call, each promise by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flow_core::durable::{Durable, Journaled, PerformError};
use flow_core::journal::{
    AcquireError, AppendError, Entry, JournalStore, Lease, LoadError, MemoryJournal, RawRecord, Record,
    RunSummary, read,
};
use flow_core::machine::Phase;
use flow_core::plan::{Approvals, ApprovedPlan};
use flow_core::prelude::*;
use flow_core::stage::{Activity, Stage, Verify, VerifyActivity};
use flow_core::{Clock, RunId, Setting, Stopped, Work, Workflow};
use futures::future::BoxFuture;

use crate::probe::{Bench, Log};
use crate::store::{Asked, Does, Faulty};

type Effect = Box<dyn Fn() -> BoxFuture<'static, Result<Receipt<Verify>, StepError>> + Send + Sync>;

/// The last step of a deployment, with an effect of the test's own.
pub(crate) struct Last {
    log: Log,
    effect: Effect,
}

impl Last {
    pub(crate) fn doing<F>(log: &Log, effect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Receipt<Verify>, StepError>> + Send + 'static,
    {
        Self { log: log.clone(), effect: Box::new(move || Box::pin(effect())) }
    }
}

#[async_trait]
impl Rollback<Verify> for Last {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _: &StepContext<Verify>) -> Result<Captured, StepError> {
        self.log.add("capture last");
        Captured::of(&"before")
    }

    async fn roll_back(
        &self,
        _: &StepContext<Verify>,
        _: &Permit,
        _: &Captured,
        outcome: &Outcome<Verify>,
    ) -> Result<(), StepError> {
        let how = if matches!(outcome, Outcome::Finished(_)) { "finished" } else { "in doubt" };
        self.log.add(format!("undo last {how}"));
        Ok(())
    }
}

#[async_trait]
impl Step<Verify> for Last {
    fn name(&self) -> Name {
        name!("last")
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        VerifyActivity::ALL.to_vec()
    }

    async fn preview(&self, _: &StepContext<Verify>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _: &StepContext<Verify>,
        _: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        self.log.add("run last");
        (self.effect)().await
    }
}

fn seen() -> Receipt<Verify> {
    let evidence = |receipt: Receipt<Verify>, activity: &VerifyActivity| receipt.evidence(*activity, "seen");
    VerifyActivity::ALL.iter().fold(Receipt::new(), evidence)
}

pub(crate) fn ending_with(bench: &Bench, last: Last) -> Workflow {
    Workflow { verify: Work::step(last), ..bench.workflow() }
}

pub(crate) async fn approved(workflow: &Workflow, setting: &Setting) -> ApprovedPlan {
    workflow.plan(setting).await.unwrap().approve(&Approvals::none()).unwrap()
}

pub(crate) fn one() -> RunId {
    RunId::new("one").unwrap()
}

fn durable(journal: &MemoryJournal) -> Journaled<MemoryJournal> {
    Journaled::new(Arc::new(journal.clone()), one()).patience(Duration::from_secs(60))
}

async fn records(journal: &MemoryJournal) -> Vec<Record> {
    read(&journal.load(&one()).await.unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_intent_and_its_capture_are_durable_before_the_effect_begins() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let store = journal.clone();
    let last = Last::doing(&bench.log, move || {
        let store = store.clone();
        async move {
            let entries: Vec<Entry> = records(&store).await.into_iter().map(|record| record.entry).collect();
            let is_last = |key: &flow_core::machine::CallKey, phase| {
                (key.stage, key.step.as_str(), key.phase) == (Verify::NAME, "last", phase)
            };
            assert!(
                matches!(entries.as_slice(), [.., Entry::Read { key: read, .. }, Entry::Intended { key, attempt: 1 }]
                    if is_last(read, Phase::Capture) && is_last(key, Phase::Do)),
                "{:?}",
                entries.last()
            );
            Ok(seen())
        }
    });
    let workflow = ending_with(&bench, last);
    let plan = approved(&workflow, &setting).await;
    workflow.run(plan, &durable(&journal)).await.unwrap();
    assert!(bench.log.lines().contains(&"run last".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_recorded_capture_is_not_taken_again_after_a_crash() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let begun = Arc::new(tokio::sync::Notify::new());
    let inside = begun.clone();
    let hangs = Last::doing(&bench.log, move || {
        inside.notify_one();
        std::future::pending()
    });
    let workflow = ending_with(&bench, hangs);
    let plan = approved(&workflow, &setting).await;
    let first = durable(&journal);
    tokio::select! {
        ended = workflow.run(plan, &first) => panic!("{ended:?}"),
        () = begun.notified() => {}
    }
    drop(first);
    let workflow = ending_with(&bench, Last::doing(&bench.log, || async { Ok(seen()) }));
    workflow.carry_on(&setting, &durable(&journal)).await.unwrap();
    let count = |what: &str| bench.log.lines().iter().filter(|line| *line == what).count();
    assert_eq!((count("capture last"), count("run last")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_step_without_evidence_is_in_doubt_and_undone() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let workflow = ending_with(&bench, Last::doing(&bench.log, || async { Ok(Receipt::new()) }));
    let plan = approved(&workflow, &setting).await;
    let ended = workflow.run(plan, &durable(&MemoryJournal::on(setting.clock.clone()))).await;
    assert!(matches!(ended, Err(Stopped::RolledBack { .. })), "{ended:?}");
    assert!(bench.log.lines().contains(&"undo last in doubt".to_owned()), "{:?}", bench.log.lines());
}

#[tokio::test(start_paused = true)]
async fn a_sleep_that_a_crash_interrupted_ends_when_it_was_to_end() {
    // So long a bake that one of its sleeps outlasts a lease.
    let bench = Bench { bake: Duration::from_hours(24), ..Bench::new() };
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let first = durable(&journal);
    // The owner dies in the middle of a sleep.
    let until = tokio::select! {
        ended = workflow.run(plan, &first) => panic!("{ended:?}"),
        until = begun_sleep(&journal, &*setting.clock) => until,
    };
    drop(first);
    workflow.carry_on(&setting, &durable(&journal)).await.unwrap();
    let records = records(&journal).await;
    let woke = records.iter().find(|record| matches!(record.entry, Entry::SleepEnded { .. })).unwrap();
    let late = woke.at.duration_since(until).unsigned_abs();
    assert!(late < Duration::from_secs(1), "it was to end at {until} and ended at {}", woke.at);
}

/// Waits until a sleep has gone on for a second, and says when it is to end.
async fn begun_sleep(journal: &MemoryJournal, clock: &dyn Clock) -> jiff::Timestamp {
    loop {
        clock.sleep(Duration::from_millis(500)).await;
        if let Some(Record { at, entry: Entry::SleepBegan { until, .. }, .. }) = records(journal).await.last()
            && clock.now().duration_since(*at) > jiff::SignedDuration::from_secs(1)
        {
            return *until;
        }
    }
}

/// A store that refuses one append and takes every other.
#[derive(Debug)]
struct Refusing {
    store: MemoryJournal,
    refuses: AtomicBool,
    held: AtomicU64,
}

#[async_trait]
impl JournalStore for Refusing {
    async fn acquire(
        &self,
        run: &RunId,
        on: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        self.store.acquire(run, on, owner, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        self.store.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        self.store.release(lease).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        self.store.load(run).await
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        if expected > 4 && self.refuses.swap(false, Ordering::SeqCst) {
            self.held.store(expected, Ordering::SeqCst);
            return Err(AppendError::Unavailable("the disk is away".into()));
        }
        self.store.append(lease, expected, batch).await
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        self.store.close(lease).await
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        self.store.post(run, topic, body).await
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        self.store.posted(run, topic).await
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        self.store.incomplete(after, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn once_a_commit_failed_nothing_is_recorded_any_more() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let store = MemoryJournal::on(setting.clock.clone());
    let refusing = Refusing { store: store.clone(), refuses: AtomicBool::new(true), held: AtomicU64::new(0) };
    let refusing = Arc::new(refusing);
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let ended = workflow.run(plan, &Journaled::new(refusing.clone(), one())).await;
    assert!(matches!(ended, Err(Stopped::HandedOver(PerformError::Unavailable(_)))), "{ended:?}");
    // Closing the run would have written what was pending: but nobody knows what the refused append left.
    let held = refusing.held.load(Ordering::SeqCst);
    assert!(held > 0, "no append was refused");
    assert_eq!(records(&store).await.len() as u64, held);
    // The next owner does know, and finishes.
    workflow.carry_on(&setting, &durable(&store)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_dropped_is_the_last_under_its_lease() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let (appends, hangs) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counted, told) = (appends.clone(), hangs.clone());
    let store = Faulty::over(&journal, move |asked| {
        if asked == Asked::Append && counted.fetch_add(1, Ordering::SeqCst) == 4 {
            told.notify_one();
            return Does::Hangs;
        }
        Does::Passes
    });
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let first = Journaled::new(Arc::new(store), one());
    tokio::select! {
        ended = workflow.run(plan, &first) => panic!("{ended:?}"),
        () = hangs.notified() => {}
    }
    let before = journal.load(&one()).await.unwrap();
    // Nobody knows whether the dropped append stands, so giving the run back writes nothing.
    first.close().await;
    assert_eq!(appends.load(Ordering::SeqCst), 5);
    assert_eq!(journal.load(&one()).await.unwrap(), before);
    workflow.carry_on(&setting, &durable(&journal)).await.unwrap();
}
