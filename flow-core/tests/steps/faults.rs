//! Every fault at every call and at every record of the whole workflow, forward and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::{Durable, Journaled};
use flow_core::journal::{self, Entry, JournalStore, MemoryJournal, Record};
use flow_core::machine::{Mode, Phase, State};
use flow_core::plan::Approvals;
use flow_core::port::{Health, ProcessManager, Router};
use flow_core::report::Report;
use flow_core::{Actor, BeginError, ErrorKind, Resumed, RunId, Setting, Stopped, name};
use flow_testkit::fake::VirtualClock;
use flow_testkit::fault::{At, Fault, Faults, Moment};

use crate::whole::{APP, Shop};

/// What becomes of a release that nothing disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Good,
    /// Too slow, which its last but one check finds out.
    Slow,
}

/// A point, and what goes wrong there.
#[derive(Debug, Clone, Copy)]
struct Put {
    point: &'static str,
    fault: Fault,
}

/// What can go wrong at a call.
const AT_CALLS: [Put; 9] = [
    Put { point: "engine.call", fault: Fault::Refused(ErrorKind::Failed) },
    Put { point: "engine.call", fault: Fault::Refused(ErrorKind::Unavailable) },
    Put { point: "engine.call", fault: Fault::InDoubt },
    Put { point: "engine.call", fault: Fault::Delayed(Duration::from_secs(7)) },
    Put { point: "engine.call", fault: Fault::Hung },
    Put { point: "engine.call", fault: Fault::Repeated },
    Put { point: "engine.call", fault: Fault::Crash(Moment::Before) },
    Put { point: "engine.call", fault: Fault::Crash(Moment::After) },
    Put { point: "engine.lease", fault: Fault::Refused(ErrorKind::Conflict) },
];

/// What can go wrong at an append.
const AT_RECORDS: [Put; 8] = [
    Put { point: "engine.append", fault: Fault::Refused(ErrorKind::Unavailable) },
    Put { point: "engine.append", fault: Fault::InDoubt },
    Put { point: "engine.append", fault: Fault::Delayed(Duration::from_secs(7)) },
    Put { point: "engine.append", fault: Fault::Hung },
    Put { point: "engine.append", fault: Fault::Crash(Moment::Before) },
    Put { point: "engine.append", fault: Fault::Crash(Moment::After) },
    Put { point: "engine.room", fault: Fault::Refused(ErrorKind::Failed) },
    Put { point: "engine.superseded", fault: Fault::Refused(ErrorKind::Conflict) },
];

/// A shop at 1.0.0 that is about to get 1.1.0, and everything that a run of it needs.
struct Trial {
    shop: Shop,
    journal: MemoryJournal,
    setting: Setting,
    run: RunId,
}

impl Trial {
    async fn new(release: Release) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let journal = MemoryJournal::on(clock.clone());
        let shop = Shop::new();
        let mut old = shop.setting(name!("1.0.0"));
        old.clock = clock.clone();
        let workflow = shop.workflow(&old.release);
        let approved = workflow.plan(&old).await.unwrap().approve(&Approvals::none()).unwrap();
        let durable = Journaled::new(Arc::new(journal.clone()), RunId::new("old").unwrap());
        workflow.run(approved, &durable).await.unwrap();
        shop.release("1.1.0", 3);
        if release == Release::Slow {
            shop.world.page(APP, 200, "welcome", 5_000);
        }
        let setting = Setting { release: name!("1.1.0"), ..old };
        Self { shop, journal, setting, run: RunId::new("new").unwrap() }
    }

    fn durable(&self) -> Journaled<MemoryJournal> {
        Journaled::new(Arc::new(self.journal.clone()), self.run.clone()).patience(Duration::from_secs(60))
    }

    async fn begin(&self, durable: &dyn Durable) -> Result<Report, Stopped> {
        let workflow = self.shop.workflow(&self.setting.release);
        let approved = workflow.plan(&self.setting).await.unwrap().approve(&Approvals::none()).unwrap();
        workflow.run(approved, durable).await
    }

    /// Takes the run up again, or begins it if it never was.
    async fn go_on(&self) -> Result<Report, Stopped> {
        let workflow = self.shop.workflow(&self.setting.release);
        match workflow.carry_on(&self.setting, &self.durable()).await {
            Err(Stopped::NotBegun(BeginError::NotBegun)) => self.begin(&self.durable()).await,
            ended => ended,
        }
    }

    async fn records(&self) -> Vec<Record> {
        journal::read(&self.journal.load(&self.run).await.unwrap()).unwrap()
    }

    /// The world, but for the change record of a new release, which tells of times.
    async fn seen_of_any_run(&self) -> String {
        let record = self.shop.world.state().documents.remove(&name!("change.md"));
        let seen = self.seen().await;
        self.shop.world.state().documents.extend(record.map(|record| (name!("change.md"), record)));
        seen
    }

    /// The world that an undo must bring back.
    async fn seen(&self) -> String {
        let mut fleets = BTreeMap::new();
        for service in [name!("web"), name!("db")] {
            let routing = self.shop.fleet.routing(&service).await.unwrap();
            fleets.insert(service.clone(), (self.shop.fleet.running(&service), routing.weights().unwrap()));
            // Traffic goes only to instances that are healthy now.
            let instances = self.shop.fleet.instances(&service).await.unwrap();
            for address in routing.0.values().filter(|route| route.weight > 0).flat_map(|r| &r.addresses) {
                let serving = instances.iter().find(|instance| instance.address == *address).unwrap();
                let health = self.shop.fleet.health(&service, &serving.id).await.unwrap();
                assert_eq!(health, Health::Healthy, "{service}: traffic to {}", serving.id);
            }
        }
        format!("{}{fleets:#?}", self.shop.world.seen())
    }
}

/// A run that nothing disturbs: its records, and the world before and after it.
struct Known {
    records: Vec<Record>,
    before: String,
    after: String,
}

async fn undisturbed(release: Release) -> Known {
    let trial = Trial::new(release).await;
    let before = trial.seen().await;
    let ended = trial.begin(&trial.durable()).await;
    assert_eq!(ended.is_ok(), release == Release::Good, "{ended:?}");
    Known { records: trial.records().await, before, after: trial.seen_of_any_run().await }
}

/// How a run with one fault came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Completed,
    RolledBack,
    /// Something could not be undone, or not be retired, at first.
    Parked,
}

/// Lets one fault happen, and others take over until the run has an end. Says what end it was, and whether there was
/// another owner in between.
async fn disturbed(release: Release, known: &Known, put: Put, about: &str) -> (End, bool) {
    let case = format!("{release:?}, {} {about}: {:?}", put.point, put.fault);
    let trial = Trial::new(release).await;
    let faults = Faults::new();
    faults.inject(At::call(put.point).about(about), put.fault);
    let first = trial.durable().faults(Arc::new(faults.clone()));
    let ended = faults.survive(trial.begin(&first)).await;
    drop(first);
    let fired = faults.fired();
    assert!(faults.unfired().is_empty() && fired.len() == 1, "{case}: fired {fired:?}");
    assert_eq!((&*fired[0].point, &*fired[0].about, fired[0].fault), (put.point, about, put.fault), "{case}");
    let handed_over =
        matches!(ended, None | Some(Err(Stopped::HandedOver(_) | Stopped::NotBegun(BeginError::Durable(_)))));
    let ended = match ended {
        Some(ended) if !handed_over => ended,
        _ => trial.go_on().await,
    };
    let end = match ended {
        Ok(_) => End::Completed,
        Err(Stopped::RolledBack { .. }) => End::RolledBack,
        Err(Stopped::Parked { parked, .. }) => {
            assert!(!parked.standing.is_empty(), "{case}");
            let standing: Vec<&str> = parked.standing.iter().map(|standing| standing.step.as_str()).collect();
            let step = about.split('/').nth(1).unwrap();
            assert!(standing.contains(&step), "{case}: {standing:?} stands");
            resume(&trial, &case).await;
            End::Parked
        }
        Err(other) => panic!("{case}: {other:?}"),
    };
    let records = trial.records().await;
    let state = State::replay(records.iter().map(|record| &record.entry)).unwrap();
    let mode = state.running().unwrap().mode;
    assert!(mode.is_over(), "{case}: {mode:?}");
    if mode == Mode::Completed {
        assert_eq!(trial.seen_of_any_run().await, known.after, "{case}");
    } else {
        assert_eq!(trial.seen().await, known.before, "{case}");
    }
    nothing_undone_wrongly(&records, &case);
    (end, handed_over)
}

/// The fault is over, so what was parked can be done now.
async fn resume(trial: &Trial, case: &str) {
    let workflow = trial.shop.workflow(&trial.setting.release);
    let resumed = workflow.resume(&trial.setting, Arc::new(trial.durable())).await.unwrap();
    let Resumed::Parked(parked) = resumed else { panic!("{case}: {resumed:?}") };
    match parked.resume(Actor::new("ann").unwrap()).await {
        Ok(_) | Err(Stopped::RolledBack { .. }) => {}
        Err(other) => panic!("{case}: {other:?}"),
    }
}

/// Nothing that certainly left nothing is undone, and nothing is undone twice with success.
fn nothing_undone_wrongly(records: &[Record], case: &str) {
    let mut rejected = BTreeSet::new();
    let mut undone = BTreeSet::new();
    let step = |key: &flow_core::machine::CallKey| (key.stage, key.step.clone());
    let rolled = [name!("web"), name!("db")];
    for record in records {
        match &record.entry {
            Entry::Ended { key, ended } if ended.end == journal::End::Rejected && key.phase == Phase::Do => {
                rejected.insert(step(key));
            }
            // A rollout is undone as a whole: one of its moves may have been rejected.
            Entry::Intended { key, .. } if key.phase == Phase::Undo && !rolled.contains(&key.step) => {
                assert!(!rejected.contains(&step(key)), "{case}: `{key}` though its do was rejected");
            }
            Entry::Undone { stage, step } => {
                assert!(undone.insert((*stage, step.clone())), "{case}: {stage}/{step} undone twice");
            }
            _ => {}
        }
    }
}

/// The calls of an undisturbed run, and its records, each as a fault point names it. What is read and how a call ended is
/// always written together with what follows, so the short tier need not die there.
fn points(known: &Known) -> (Vec<String>, Vec<String>) {
    let (mut calls, mut records) = (Vec::new(), Vec::new());
    for record in &known.records {
        if let Entry::Read { key, .. } | Entry::Intended { key, .. } = &record.entry {
            calls.push(key.to_string());
        }
        let with_the_next = matches!(record.entry, Entry::Read { .. } | Entry::Ended { .. });
        if long() || !with_the_next {
            records.push(record.entry.to_string());
        }
    }
    (calls, records)
}

/// How many runs came to which end, by fault.
type Table = BTreeMap<String, BTreeMap<(End, bool), u32>>;

fn long() -> bool {
    std::env::var_os("FLOW_LONG").is_some()
}

/// Every fault at every place; in the short tier one fault at every place, in turn.
fn placed<'a>(faults: &[Put], places: &'a [String]) -> Vec<(Put, &'a str)> {
    let turn = |place: usize, fault: usize| long() || place % faults.len() == fault;
    let all = places.iter().enumerate().flat_map(|(place, about)| {
        let faults = faults.iter().enumerate().filter(move |(fault, _)| turn(place, *fault));
        faults.map(move |(_, put)| (*put, about.as_str()))
    });
    all.collect()
}

async fn sweep(release: Release) -> Table {
    let known = undisturbed(release).await;
    let (calls, records) = points(&known);
    assert!(calls.len() > 60 && records.len() > 40, "{} calls, {} records", calls.len(), records.len());
    let mut table = Table::new();
    for (put, about) in placed(&AT_CALLS, &calls).into_iter().chain(placed(&AT_RECORDS, &records)) {
        let end = disturbed(release, &known, put, about).await;
        *table.entry(format!("{} {:?}", put.point, put.fault)).or_default().entry(end).or_default() += 1;
    }
    table
}

/// What must come of a fault whatever it was put at: the ends of all of its runs, and whether another owner ended them.
fn expected(release: Release, put: Put) -> (BTreeSet<End>, bool) {
    let undisturbed = if release == Release::Good { End::Completed } else { End::RolledBack };
    let disturbs =
        matches!((put.point, put.fault), ("engine.call", Fault::InDoubt | Fault::Refused(ErrorKind::Failed)));
    let hands_over = !matches!(
        (put.point, put.fault),
        ("engine.call", Fault::InDoubt | Fault::Refused(_) | Fault::Hung | Fault::Repeated)
            | (_, Fault::Delayed(_))
    );
    let ends = if disturbs { [End::RolledBack, End::Parked].into() } else { [undisturbed].into() };
    (ends, hands_over)
}

async fn every_fault(release: Release) {
    let begun = std::time::Instant::now();
    let table = sweep(release).await;
    let runs: u32 = table.values().flat_map(BTreeMap::values).sum();
    println!("{release:?}: {runs} runs in {:.1} s", begun.elapsed().as_secs_f64());
    for put in AT_CALLS.into_iter().chain(AT_RECORDS) {
        let fault = format!("{} {:?}", put.point, put.fault);
        let ends = &table[&fault];
        println!("  {fault}: {ends:?}");
        let (expected, hands_over) = expected(release, put);
        assert!(ends.keys().all(|(end, _)| expected.contains(end)), "{release:?}: {fault}: {ends:?}");
        assert!(ends.keys().all(|(_, over)| *over == hands_over), "{release:?}: {fault}: {ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_release_survives_every_fault_at_every_call_and_record() {
    every_fault(Release::Good).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_survives_every_fault_at_every_call_and_record() {
    every_fault(Release::Slow).await;
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_is_tried_again_after_all_others_brings_back_the_world_as_it_was() {
    let known = undisturbed(Release::Slow).await;
    let undos = points(&known).0.into_iter().filter(|call| call.contains("/undo/"));
    let refused = Put { point: "engine.call", fault: Fault::Refused(ErrorKind::Failed) };
    let mut tried = 0;
    for undo in undos {
        assert_eq!(disturbed(Release::Slow, &known, refused, &undo).await, (End::Parked, false), "{undo}");
        tried += 1;
    }
    assert!(tried > 10, "only {tried} undos");
}

#[tokio::test(start_paused = true)]
async fn an_intent_in_doubt_is_not_acted_on_and_the_next_owner_acts_once() {
    let trial = Trial::new(Release::Good).await;
    let intent = "intended:Migrate/apply-migrations/do/0";
    let applied = || {
        let changes = trial.shop.world.changes();
        changes.iter().filter(|change| change.starts_with("migrator.apply ")).count()
    };
    let before = applied();
    let faults = Faults::new();
    faults.inject(At::call("engine.append").about(intent), Fault::InDoubt);
    let first = trial.durable().faults(Arc::new(faults.clone()));
    let ended = trial.begin(&first).await;
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    assert!(faults.unfired().is_empty());
    // The batch stands, though the owner was told that nobody knows; and nothing was done about it.
    let names = |records: Vec<Record>| -> Vec<String> {
        records.iter().map(|record| record.entry.to_string()).collect()
    };
    assert_eq!(names(trial.records().await).last().map(String::as_str), Some(intent));
    assert_eq!(applied(), before);
    trial.go_on().await.unwrap();
    assert_eq!(applied(), before + 1);
    let records = names(trial.records().await);
    assert_eq!(
        records.iter().filter(|record| *record == intent).count(),
        2,
        "the lost attempt and the next one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_a_renewal_ends_the_right_to_act_before_the_lease_ends() {
    let trial = Trial::new(Release::Good).await;
    let faults = Faults::new();
    faults.inject(At::call("engine.renew").about("new"), Fault::Hung);
    let call = "Migrate/apply-migrations/do/0";
    faults.inject(At::call("engine.call").about(call), Fault::Delayed(Duration::from_secs(300)));
    let first = trial.durable().faults(Arc::new(faults.clone()));
    let begun = trial.setting.clock.monotonic();
    let ended = trial.begin(&first).await;
    let took = trial.setting.clock.monotonic().saturating_sub(begun);
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    assert!(faults.unfired().is_empty());
    assert!(took < Duration::from_secs(30), "the lease of 30 s had ended after {took:?}");
    trial.go_on().await.unwrap();
}

/// Faults that a point cannot carry out.
const NOWHERE: [Put; 7] = [
    Put { point: "engine.lease", fault: Fault::Hung },
    Put { point: "engine.append", fault: Fault::Repeated },
    Put { point: "engine.room", fault: Fault::InDoubt },
    Put { point: "engine.superseded", fault: Fault::Crash(Moment::Before) },
    Put { point: "engine.renew", fault: Fault::Delayed(Duration::from_secs(7)) },
    Put { point: "engine.renew", fault: Fault::InDoubt },
    Put { point: "engine.renew", fault: Fault::Crash(Moment::After) },
];

#[tokio::test(start_paused = true)]
async fn what_a_point_cannot_do_stays_unfired_and_changes_nothing() {
    let (trial, faults) = (Trial::new(Release::Good).await, Faults::new());
    let everywhere = |put: &Put| At::call(put.point).onwards();
    NOWHERE.iter().for_each(|put| faults.inject(everywhere(put), put.fault));
    // So that the lease is renewed while it is under way.
    let call = "Migrate/apply-migrations/do/0";
    faults.inject(At::call("engine.call").about(call), Fault::Delayed(Duration::from_secs(25)));
    trial.begin(&trial.durable().faults(Arc::new(faults.clone()))).await.unwrap();
    assert_eq!(faults.unfired(), NOWHERE.iter().map(everywhere).collect::<Vec<At>>());
    assert_eq!(faults.fired().len(), 1, "{:?}", faults.fired());
}

/// The other half of what the example's kill test proves: what no program has is found where it is.
#[test]
fn the_points_of_failure_are_found_in_a_program_that_has_them() {
    let content = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let content = String::from_utf8_lossy(&content);
    for point in ["a fault that a test put there", "durable6points", "durable/points.rs"] {
        assert!(content.contains(point), "{point}");
    }
}
