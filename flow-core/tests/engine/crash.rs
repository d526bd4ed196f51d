//! The owner dies at every append of the journal, before it and after it, and another one takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::Journaled;
use flow_core::journal::{
    AcquireError, AppendError, JournalStore, Lease, LoadError, MemoryJournal, RawRecord, RunSummary,
};
use flow_core::plan::Approvals;
use flow_core::port::Router;
use flow_core::stage::{Monitoring, Verify};
use flow_core::{Clock, Name, RunId, Stopped, Weights, Work, Workflow, name};
use flow_testkit::fake::VirtualClock;
use tokio::sync::Notify;

use crate::probe::{Bench, Ends, Probe};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dies {
    Before,
    After,
}

/// A store whose owner dies at one append: the call never returns.
#[derive(Debug)]
pub(crate) struct Dying {
    store: MemoryJournal,
    at: u32,
    dies: Dies,
    appends: AtomicU32,
    dead: Arc<Notify>,
}

/// A store over `store` whose owner dies at append `at`, and the notice of its death.
pub(crate) fn dying(store: &MemoryJournal, at: u32, dies: Dies) -> (Arc<Dying>, Arc<Notify>) {
    let dead = Arc::new(Notify::new());
    let dying = Dying { store: store.clone(), at, dies, appends: AtomicU32::new(0), dead: dead.clone() };
    (Arc::new(dying), dead)
}

#[async_trait]
impl JournalStore for Dying {
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
        let dying = self.appends.fetch_add(1, Ordering::SeqCst) == self.at;
        if !dying || self.dies == Dies::After {
            self.store.append(lease, expected, batch).await?;
        }
        if dying {
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
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

fn failing(bench: &Bench) -> Workflow {
    let mut workflow = bench.workflow();
    workflow.monitoring =
        Work::step(Probe::<Monitoring>::new(name!("monitor"), &bench.log).ending(Ends::InDoubt));
    workflow
}

/// Runs `make`'s workflow over a live 1.0.0 and lets the owner die at append `at`, then once more while it recovers.
/// Returns false when the run was over before that append came.
async fn survives(make: fn(&Bench) -> Workflow, at: u32, dies: Dies, again: Option<u32>) -> bool {
    let bench = Bench::new();
    let clock = Arc::new(VirtualClock::new());
    let journal = MemoryJournal::on(clock.clone());
    let setting = |version| {
        let mut setting = bench.setting(version);
        setting.clock = clock.clone();
        setting
    };
    let run = RunId::new("old").unwrap();
    let old = setting(name!("1.0.0"));
    let workflow = bench.workflow();
    let approved = workflow.plan(&old).await.unwrap().approve(&Approvals::none()).unwrap();
    workflow.run(approved, &Journaled::new(Arc::new(journal.clone()), run)).await.unwrap();

    let run = RunId::new("new").unwrap();
    let new = setting(name!("1.1.0"));
    let workflow = make(&bench);
    let approved = workflow.plan(&new).await.unwrap().approve(&Approvals::none()).unwrap();
    let (store, dead) = dying(&journal, at, dies);
    let durable = Journaled::new(store, run.clone());
    tokio::select! {
        _ = workflow.run(approved, &durable) => return false,
        () = dead.notified() => {}
    }
    drop(durable);
    if let Some(at) = again {
        clock.sleep(Duration::from_secs(31)).await;
        let (store, dead) = dying(&journal, at, dies);
        let durable = Journaled::new(store, run.clone());
        let workflow = make(&bench);
        tokio::select! {
            ended = workflow.carry_on(&new, &durable) => drop(ended),
            () = dead.notified() => {}
        }
    }
    let durable = Journaled::new(Arc::new(journal), run).patience(Duration::from_secs(60));
    let ended = make(&bench).carry_on(&new, &durable).await;
    let web = name!("web");
    let (old, new) = (name!("1.0.0"), name!("1.1.0"));
    let expected = match ended {
        Ok(_) => new,
        Err(Stopped::RolledBack { .. }) => old,
        // Died before the first record: there is no such run, and nothing was changed.
        Err(Stopped::NotBegun(_)) if at == 0 && dies == Dies::Before => old,
        Err(other) => panic!("died at append {at}, {dies:?}, again {again:?}: {other:?}"),
    };
    let weights = bench.fleet.routing(&web).await.unwrap().weights().unwrap();
    assert_eq!(weights, Weights::all_to(expected.clone()), "died at append {at}, {dies:?}, again {again:?}");
    assert_eq!(bench.fleet.running(&web), [expected.clone(), expected], "died at append {at}, {dies:?}");
    let captures = bench.log.lines().into_iter().filter(|line| line == "capture assets").count();
    assert!(captures <= 3, "a recorded capture is never repeated");
    true
}

async fn sweep(make: fn(&Bench) -> Workflow) -> u32 {
    for at in 0..200 {
        let before = survives(make, at, Dies::Before, None).await;
        let after = survives(make, at, Dies::After, None).await;
        if !before && !after {
            return at;
        }
        // The second death comes at one of the first appends of the recovery; the long tier tries each of them.
        let again = if std::env::var_os("FLOW_LONG").is_some() { 0..4 } else { at % 4..at % 4 + 1 };
        for again in again {
            survives(make, at, Dies::After, Some(again)).await;
        }
    }
    panic!("the run never ended before its owner died");
}

#[tokio::test(start_paused = true)]
async fn a_good_release_survives_the_death_of_its_owner_at_every_append() {
    let appends = sweep(Bench::workflow).await;
    assert!(appends >= 15, "only {appends} appends");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_survives_the_death_of_its_owner_at_every_append() {
    let appends = sweep(failing).await;
    assert!(appends >= 20, "only {appends} appends");
}

#[tokio::test(start_paused = true)]
async fn a_late_owner_is_superseded_and_undoes_nothing() {
    let bench = Bench::new();
    let clock = Arc::new(VirtualClock::new());
    let journal = MemoryJournal::on(clock.clone());
    let mut setting = bench.setting(name!("1.0.0"));
    setting.clock = clock.clone();
    let run = RunId::new("one").unwrap();
    let mut workflow = bench.workflow();
    workflow.verify = Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Hangs));
    let approved = workflow.plan(&setting).await.unwrap().approve(&Approvals::none()).unwrap();
    let late = Journaled::new(Arc::new(journal.clone()), run.clone()).ttl(Duration::from_secs(9));
    let takeover = async {
        // The late owner is in its last stage by now; a store that lost its leases hands the run to somebody else.
        clock.sleep(Duration::from_secs(5)).await;
        let lease = Lease {
            run: run.clone(),
            resources: vec![name!("shop.staging")],
            owner: String::new(),
            fence: flow_core::Fence(1),
            ttl: Duration::from_secs(9),
        };
        journal.release(&lease).await.unwrap();
        journal.acquire(&run, &[name!("shop.staging")], "another", Duration::from_secs(9)).await.unwrap();
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = workflow.run(approved, &late) => ended,
        () = takeover => unreachable!(),
    };
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    assert!(!bench.log.lines().iter().any(|line| line.starts_with("undo")), "a late owner undoes nothing");
}
