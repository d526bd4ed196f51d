//! The journal of `docs/journal-trace.md`: a blue-green rollout whose owner dies inside a shift, a resume, a failure two
//! stages later, and the way back past the migration. It must be read by every later version.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::journal::{self, JournalStore, MemoryJournal, RawRecord};
use flow_core::machine::{Mode, State};
use flow_core::plan::Approvals;
use flow_core::stage::Monitoring;
use flow_core::{Digest, RunId, Stopped, Work, name};
use flow_testkit::fake::VirtualClock;
use serde_json::{Value, json};

use crate::crash::{Dies, dying};
use crate::probe::{Bench, Ends, Probe};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engine/golden/format-1.jsonl")
}

/// The append that makes the shift's intent durable.
const SHIFT: u32 = 10;

async fn trace() -> Vec<RawRecord> {
    // So short a bake that the trace has one sleep.
    let bench = Bench { bake: Duration::from_millis(100), ..Bench::new() };
    let clock = Arc::new(VirtualClock::new());
    let journal = MemoryJournal::on(clock.clone());
    let setting = |version| {
        let mut setting = bench.setting(version);
        setting.clock = clock.clone();
        setting
    };
    let old = setting(name!("1.0.0"));
    let workflow = bench.workflow();
    let approved = workflow.plan(&old).await.unwrap().approve(&Approvals::none()).unwrap();
    workflow
        .run(approved, &Journaled::new(Arc::new(journal.clone()), RunId::new("old").unwrap()))
        .await
        .unwrap();

    let new = setting(name!("1.1.0"));
    let run = RunId::new("release-1.1.0").unwrap();
    let failing = || {
        let mut workflow = bench.workflow();
        workflow.monitoring =
            Work::step(Probe::<Monitoring>::new(name!("monitor"), &bench.log).ending(Ends::InDoubt));
        workflow
    };
    let workflow = failing();
    let approved = workflow.plan(&new).await.unwrap().approve(&Approvals::none()).unwrap();
    let (store, dead) = dying(&journal, SHIFT, Dies::After);
    let durable = Journaled::new(store, run.clone());
    tokio::select! {
        _ = workflow.run(approved, &durable) => panic!("the run ended before its owner died"),
        () = dead.notified() => {}
    }
    drop(durable);
    let durable = Journaled::new(Arc::new(journal.clone()), run.clone()).patience(Duration::from_secs(60));
    let ended = failing().carry_on(&new, &durable).await;
    assert!(matches!(ended, Err(Stopped::RolledBack { .. })), "{ended:?}");
    journal.load(&run).await.unwrap()
}

/// The owner's name has a process id in it; everything else is the same on every machine.
fn named(records: Vec<RawRecord>) -> Vec<RawRecord> {
    let mut before: Option<Digest> = None;
    let rename = |record: RawRecord| {
        let mut body: Value = serde_json::from_str(&record.body).unwrap();
        if let Some(owner) = body.pointer_mut("/fact/owner") {
            *owner = json!("controller");
        }
        let body = body.to_string();
        let hash = journal::chain(before, record.seq, &body);
        before = Some(hash);
        RawRecord { body, hash, ..record }
    };
    records.into_iter().map(rename).collect()
}

fn line(record: &RawRecord) -> String {
    json!({ "seq": record.seq, "hash": record.hash, "body": record.body }).to_string()
}

fn parse(line: &str) -> RawRecord {
    let value: Value = serde_json::from_str(line).unwrap();
    RawRecord {
        seq: value["seq"].as_u64().unwrap(),
        body: value["body"].as_str().unwrap().to_owned(),
        hash: value["hash"].as_str().unwrap().parse().unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_journal_of_the_worked_trace_is_still_read_and_still_written() {
    let now = named(trace().await);
    if std::env::var_os("FLOW_BLESS").is_some() {
        std::fs::create_dir_all(path().parent().unwrap()).unwrap();
        std::fs::write(path(), now.iter().map(|record| line(record) + "\n").collect::<String>()).unwrap();
    }
    let golden: Vec<RawRecord> = std::fs::read_to_string(path()).unwrap().lines().map(parse).collect();
    let records = journal::read(&golden).unwrap();
    let state = State::replay(records.iter().map(|record| &record.entry)).unwrap();
    assert_eq!(state.running().unwrap().mode, Mode::RolledBack);
    let told = |records: &[RawRecord]| -> Vec<String> {
        journal::read(records)
            .unwrap()
            .into_iter()
            .map(|record| serde_json::to_string(&record.entry).unwrap())
            .collect()
    };
    assert_eq!(
        told(&now),
        told(&golden),
        "this version writes another journal: a change of the format, or of the engine"
    );
}

/// Written before plans had a policy, and receipts proofs.
#[test]
fn a_journal_without_a_policy_is_still_read() {
    let path = path().with_file_name("format-1-without-policy.jsonl");
    let old: Vec<RawRecord> = std::fs::read_to_string(path).unwrap().lines().map(parse).collect();
    let records = journal::read(&old).unwrap();
    let state = State::replay(records.iter().map(|record| &record.entry)).unwrap();
    let running = state.running().unwrap();
    assert_eq!((running.mode, &running.plan.policy), (Mode::RolledBack, &None));
    assert!(running.plan.items().all(|(_, item)| item.proves.is_empty()));
    assert_eq!(running.plan.verify(), Ok(()), "its hash is the one that it was approved under");
}

#[test]
fn an_edit_a_move_a_cut_in_the_middle_and_a_newer_format_are_refused() {
    let golden: Vec<RawRecord> = std::fs::read_to_string(path()).unwrap().lines().map(parse).collect();
    for at in 0..golden.len() {
        let mut edited = golden.clone();
        edited[at].body = edited[at].body.replace("1.1.0", "1.1.1").replace("\"at\"", "\"at\" ");
        assert_eq!(journal::read(&edited).unwrap_err().seq, golden[at].seq);
        let mut hole = golden.clone();
        hole.remove(at);
        assert_eq!(journal::read(&hole).is_err(), at + 1 < golden.len(), "a record is missing at {at}");
    }
    let mut newer = golden;
    let body = newer[0].body.replace("\"format\":1", "\"format\":2");
    newer[0] = RawRecord { seq: 1, hash: journal::chain(None, 1, &body), body };
    newer.truncate(1);
    assert!(journal::read(&newer).unwrap_err().problem.contains("`format`: 2 is newer than 1"));
}
