//! A run over a journal that becomes full: it is handed over with nothing lost, and goes on when there is room.

use std::collections::BTreeMap;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::{Journaled, PerformError};
use flow_core::journal::{JournalStore as _, RawRecord, read};
use flow_core::plan::Approvals;
use flow_core::prelude::*;
use flow_core::report::ReportOutcome;
use flow_core::stage::{Activity, Assets, Build, Functions, Migrate, Monitoring, Prepare, Services, Stage};
use flow_core::{Actor, BeginError, Environment, Setting, Stopped, SystemClock, Work, Workflow, name};
use flow_journal::{SqliteConfig, SqliteJournal};
use tempfile::TempDir;

use super::{file, run};

const PAGE: u64 = 4096;

/// Writes its permit's key into a file of its name, and removes the file again.
struct Mark<S> {
    name: Name,
    world: PathBuf,
    fails: Option<&'static str>,
    stage: PhantomData<fn() -> S>,
}

impl<S> Mark<S> {
    fn in_world(name: Name, world: &Path) -> Self {
        Self { name, world: world.to_path_buf(), fails: None, stage: PhantomData }
    }

    fn file(&self) -> PathBuf {
        self.world.join(self.name.as_str())
    }
}

#[async_trait]
impl<S: Stage> Rollback<S> for Mark<S> {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    /// A half-changed world must never be captured: after a crash the recorded state is used again.
    async fn capture(&self, _: &StepContext<S>) -> Result<Captured, StepError> {
        Captured::of(&self.file().exists())
    }

    async fn roll_back(
        &self,
        _: &StepContext<S>,
        _: &Permit,
        before: &Captured,
        _: &Outcome<S>,
    ) -> Result<(), StepError> {
        if !before.get::<bool>()? {
            drop(fs::remove_file(self.file()));
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Stage> Step<S> for Mark<S> {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn covers(&self) -> Vec<S::Activity> {
        S::Activity::ALL.to_vec()
    }

    async fn preview(&self, _: &StepContext<S>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<S>, StepError> {
        assert!(!before.get::<bool>()?, "what an earlier attempt changed was captured as the state before");
        if let Some(reason) = self.fails {
            return Err(StepError::new(ErrorKind::Failed, reason));
        }
        let key = permit.idempotency_key();
        if let Ok(written) = fs::read_to_string(self.file()) {
            assert_eq!(written, key, "another attempt has another key");
        }
        fs::write(self.file(), key).unwrap();
        // Long enough that each step takes some pages of the journal.
        let seen = "seen ".repeat(600);
        let evidence = |receipt: Receipt<S>, activity| receipt.evidence(activity, seen.as_str());
        Ok(self.covers().into_iter().fold(Receipt::new(), evidence))
    }
}

/// What the last step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Ends,
    Fails,
}

fn workflow(world: &Path, last: Last) -> Workflow {
    let ann = || Actor::new("ann").unwrap();
    let mut verify = Mark::in_world(name!("verify"), world);
    verify.fails = (last == Last::Fails).then_some("the site is down");
    Workflow {
        prepare: Work::step(Mark::<Prepare>::in_world(name!("prepare"), world)),
        build: Work::<Build>::not_applicable("built before").by(ann()),
        migrate: Work::step(Mark::<Migrate>::in_world(name!("migrate"), world)),
        assets: Work::step(Mark::<Assets>::in_world(name!("assets"), world)),
        services: Work::<Services>::not_applicable("no services").by(ann()),
        functions: Work::<Functions>::not_applicable("no functions").by(ann()),
        monitoring: Work::step(Mark::<Monitoring>::in_world(name!("monitor"), world)),
        verify: Work::step(verify),
    }
}

fn setting() -> Setting {
    let ann = Actor::new("ann").unwrap();
    let mut setting = Setting::new(name!("shop"), Environment::Development, name!("1.0.0"), ann);
    setting.clock = Arc::new(SystemClock::new());
    setting
}

async fn journal(directory: &TempDir, max_bytes: Option<u64>) -> Arc<SqliteJournal> {
    let config = SqliteConfig { max_bytes, ..SqliteConfig::at(file(directory)) };
    Arc::new(SqliteJournal::with(config).await.unwrap())
}

fn durable(journal: &Arc<SqliteJournal>) -> Journaled<SqliteJournal> {
    // A run that is handed over while it is undone keeps its lease until that ends: a short one.
    let short = Duration::from_secs(5);
    Journaled::new(Arc::clone(journal), run()).ttl(short).patience(Duration::from_secs(60))
}

/// The files of the world and what they hold.
fn seen(world: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(world).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// How a run over a journal of `pages` pages came to its first end.
enum First {
    /// The journal was full before it began.
    NotBegun,
    /// The journal became full on the way; this is what it then held.
    HandedOver(Vec<RawRecord>),
    /// There was room for all of it.
    Over,
}

async fn first(directory: &TempDir, world: &Path, last: Last, pages: u64) -> First {
    let store = journal(directory, Some(pages * PAGE)).await;
    let workflow = workflow(world, last);
    let plan = workflow.plan(&setting()).await.unwrap().approve(&Approvals::none()).unwrap();
    let (begun, full) = match workflow.run(plan, &durable(&store)).await {
        Ok(_) | Err(Stopped::RolledBack { .. }) => return First::Over,
        Err(Stopped::NotBegun(BeginError::Durable(full))) => (false, full),
        Err(Stopped::HandedOver(full)) => (true, full),
        Err(other) => panic!("{pages} pages: {other:?}"),
    };
    let PerformError::Unavailable(cause) = &full else { panic!("{pages} pages: {full:?}") };
    assert_eq!(cause.kind, ErrorKind::Unavailable);
    assert!(cause.to_string().contains("full"), "{pages} pages: {cause}");
    let records = store.load(&run()).await.unwrap();
    read(&records).unwrap();
    if begun { First::HandedOver(records) } else { First::NotBegun }
}

/// Lets the journal become full at every page of a run, and resumes it each time with room. Says how often it was handed
/// over with how many records.
async fn at_every_page(last: Last) -> Vec<usize> {
    let mut handed_over = Vec::new();
    for pages in 16.. {
        assert!(pages < 400, "the limit has no effect");
        let directory = tempfile::tempdir().unwrap();
        let world = directory.path().join("world");
        fs::create_dir(&world).unwrap();
        let before = match first(&directory, &world, last, pages).await {
            First::Over => break,
            First::NotBegun => {
                assert_eq!(seen(&world), BTreeMap::new(), "nothing is done that cannot be recorded");
                continue;
            }
            First::HandedOver(records) => records,
        };
        handed_over.push(before.len());
        let roomier = journal(&directory, None).await;
        let ended = workflow(&world, last).carry_on(&setting(), &durable(&roomier)).await;
        match (last, ended) {
            (Last::Ends, Ok(report)) => {
                assert_eq!(report.outcome(), ReportOutcome::Completed);
                let names: Vec<String> = seen(&world).into_keys().collect();
                assert_eq!(names, ["assets", "migrate", "monitor", "prepare", "verify"]);
            }
            (Last::Fails, Err(Stopped::RolledBack { .. })) => assert_eq!(seen(&world), BTreeMap::new()),
            (_, ended) => panic!("{pages} pages: {ended:?}"),
        }
        let after = roomier.load(&run()).await.unwrap();
        read(&after).unwrap();
        assert_eq!(after.get(..before.len()), Some(&*before), "nothing that was recorded is lost");
    }
    handed_over
}

#[tokio::test]
async fn a_run_over_a_full_journal_is_handed_over_and_ends_when_there_is_room() {
    let handed_over = at_every_page(Last::Ends).await;
    assert!(handed_over.len() >= 5, "it was handed over at {handed_over:?} records");
}

#[tokio::test]
async fn a_run_whose_journal_is_full_while_it_is_undone_is_undone_when_there_is_room() {
    let handed_over = at_every_page(Last::Fails).await;
    assert!(handed_over.len() >= 5, "it was handed over at {handed_over:?} records");
}
