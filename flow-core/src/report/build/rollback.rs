//! What a run undid.

use crate::journal::Entry;
use crate::machine::{TargetState, UndoTarget};
use crate::name::{Actor, Name};
use crate::report::build::ledger::{Ledger, milliseconds, seconds};
use crate::report::{RollbackReport, TargetEnd, TargetReport};
use crate::stage::StageName;

/// The rollback; none where the run never turned back.
pub(super) fn rollback(ledger: &Ledger<'_>) -> Option<RollbackReport> {
    let running = ledger.running.as_ref()?;
    let (index, began, cause) =
        ledger.records.iter().enumerate().find_map(|(index, record)| match &record.entry {
            Entry::UndoFrozen { cause, .. } => Some((index, record.at, cause)),
            _ => None,
        })?;
    let mut ended = None;
    for record in ledger.from(index) {
        match &record.entry {
            Entry::Finished { .. } if ended.is_none() => ended = Some(record.at),
            Entry::Parked { .. } => ended = Some(record.at),
            Entry::Resumed { .. } => ended = None,
            _ => {}
        }
    }
    let last = ledger.records.last().map_or(began, |record| record.at);
    let targets = running.undo.iter().flatten().map(|(target, state)| one(ledger, target, state));
    Some(RollbackReport {
        cause: cause.clone(),
        began: seconds(began),
        ended: ended.map(seconds),
        duration_ms: milliseconds(began, ended.unwrap_or(last)),
        targets: targets.collect(),
        standing: running.still_standing(),
    })
}

fn one(ledger: &Ledger<'_>, target: &UndoTarget, state: &TargetState) -> TargetReport {
    let span = ledger.backward(target.stage, &target.step);
    let state = match state {
        TargetState::Pending => TargetEnd::Pending,
        TargetState::Undone => TargetEnd::Undone,
        TargetState::Failed(cause) => TargetEnd::Failed { cause: cause.clone() },
        TargetState::Resolved => {
            let (by, evidence) = resolution(ledger, target.stage, &target.step).unzip();
            TargetEnd::Resolved { by, evidence }
        }
    };
    TargetReport {
        stage: target.stage,
        step: target.step.clone(),
        state,
        began: span.began.map(seconds),
        ended: span.ended.map(seconds),
        duration_ms: span.duration_ms(),
        attempts: span.attempts,
    }
}

fn resolution(ledger: &Ledger<'_>, stage: StageName, step: &Name) -> Option<(Actor, String)> {
    ledger.records.iter().rev().find_map(|record| match &record.entry {
        Entry::Resolved { stage: s, step: n, by, evidence } if *s == stage && n == step => {
            Some((by.clone(), evidence.clone()))
        }
        _ => None,
    })
}
