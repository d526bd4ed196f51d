//! What a rollout did, from its calls: the same for one that was concluded and for one that was given up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::gate::Judgement;
use crate::journal::{End, Entry, Record};
use crate::machine::Phase;
use crate::name::Name;
use crate::report::build::ledger::{Ledger, entry_key, seconds};
use crate::report::build::receipt::{names, read};
use crate::report::{MoveMade, MoveReport};
use crate::stage::StageName;
use crate::strategy::{Move, Past};

/// The moves of the rollout `step`, in order.
pub(super) fn moves(ledger: &Ledger<'_>, stage: StageName, step: &Name) -> Vec<MoveReport> {
    let mut moves: BTreeMap<u32, MoveReport> = BTreeMap::new();
    for record in ledger.records {
        let Some(key) = entry_key(&record.entry) else { continue };
        if key.stage != stage || key.step != *step {
            continue;
        }
        match key.phase {
            Phase::Do => take(moves.entry(key.unit).or_insert_with(|| begun(record.at)), record),
            Phase::Observe => {
                if let Some(judgement) = judgement(&record.entry) {
                    moves.insert(key.unit, at_once(record.at, MoveMade::Judged { judgement }));
                }
            }
            Phase::Capture | Phase::Undo => {}
        }
    }
    moves.into_values().collect()
}

/// The moves that a rollout's evidence lists, for a journal that does not hold the calls themselves.
pub(super) fn listed(moves: &Value) -> Vec<MoveReport> {
    let moves: Vec<Past> = read(moves).unwrap_or_default();
    moves.into_iter().filter_map(past).collect()
}

/// What a gate said, if that is what an entry holds; a look at the fleet is of another form.
pub(super) fn judgement(entry: &Entry) -> Option<Judgement> {
    match entry {
        Entry::Read { key, recorded } if key.phase == Phase::Observe => read(&recorded.0),
        _ => None,
    }
}

fn begun(at: Timestamp) -> MoveReport {
    MoveReport { made: MoveMade::Unknown, began: Some(seconds(at)), ended: None, end: None }
}

fn at_once(at: Timestamp, made: MoveMade) -> MoveReport {
    MoveReport { made, began: Some(seconds(at)), ended: Some(seconds(at)), end: Some(End::Done) }
}

fn take(made: &mut MoveReport, record: &Record) {
    let at = Some(seconds(record.at));
    match &record.entry {
        Entry::Intended { .. } => (made.ended, made.end) = (None, None),
        Entry::Ended { ended, .. } => {
            (made.ended, made.end) = (Some(seconds(ended.ended)), Some(ended.end));
            if let Some(recorded) = &ended.recorded {
                made.made = done(&recorded.0);
            }
        }
        Entry::SleepBegan { until, .. } => made.made = MoveMade::Baked { until: Some(seconds(*until)) },
        Entry::WaitBegan { .. } => made.made = MoveMade::Awaited { signal: None },
        Entry::SleepEnded { .. } => (made.ended, made.end) = (at, Some(End::Done)),
        Entry::Signalled { signal, .. } => {
            made.made = MoveMade::Awaited { signal: Some(signal.clone()) };
            (made.ended, made.end) = (at, Some(End::Done));
        }
        _ => {}
    }
}

/// A move by what it returned.
fn done(recorded: &Value) -> MoveMade {
    if let Some(instances) = names(recorded, "launched") {
        MoveMade::Launched { instances }
    } else if let Some(weights) = recorded.get("weights").and_then(read) {
        MoveMade::Shifted { weights }
    } else if let Some(instances) = names(recorded, "retired") {
        MoveMade::Retired { instances }
    } else {
        MoveMade::Unknown
    }
}

fn past(past: Past) -> Option<MoveReport> {
    let made = match past.made {
        // Which instances they were is not in the list.
        Move::Launch { .. } => MoveMade::Launched { instances: Vec::new() },
        Move::Shift { weights, .. } => MoveMade::Shifted { weights },
        Move::Bake { .. } => MoveMade::Baked { until: None },
        Move::Judge => MoveMade::Judged { judgement: past.judgement? },
        Move::AwaitApproval { .. } => MoveMade::Awaited { signal: None },
        Move::Retire { instances, .. } => MoveMade::Retired { instances },
        Move::Done | Move::Abort { .. } => return None,
    };
    Some(MoveReport { made, began: None, ended: None, end: Some(End::Done) })
}
