//! What people said: declarations in the plan, decisions while it ran, notices.

use crate::journal::{Entry, Record, RunOutcome, Signal};
use crate::report::build::ledger::{Ledger, seconds};
use crate::report::{Decision, DecisionKind, Declared, Notice};

/// What the plan leaves out, stage by stage.
pub(super) fn declarations(ledger: &Ledger<'_>) -> Vec<Declared> {
    let stages = ledger.running.iter().flat_map(|running| &running.plan.stages);
    let declared = stages.flat_map(|planned| {
        let stage = planned.stage;
        let whole = planned.not_applicable.iter().map(move |declaration| Declared {
            stage,
            activity: None,
            declaration: declaration.clone(),
        });
        let without = planned.without.iter().map(move |(activity, declaration)| Declared {
            stage,
            activity: Some(activity.clone()),
            declaration: declaration.clone(),
        });
        whole.chain(without)
    });
    declared.collect()
}

/// What was decided while the run was under way.
pub(super) fn decisions(ledger: &Ledger<'_>) -> Vec<Decision> {
    ledger.records.iter().filter_map(decision).collect()
}

fn decision(record: &Record) -> Option<Decision> {
    let (by, kind) = match &record.entry {
        Entry::Signalled { key, signal: Signal::Approved { by } } => {
            (by, DecisionKind::Approved { call: key.clone() })
        }
        Entry::Signalled { key, signal: Signal::Refused { by, reason } } => {
            (by, DecisionKind::Refused { call: key.clone(), reason: reason.clone() })
        }
        Entry::Released { by } => (by, DecisionKind::Released),
        Entry::Resumed { by } => (by, DecisionKind::Resumed),
        Entry::Resolved { stage, step, by, evidence } => {
            (by, DecisionKind::Resolved { stage: *stage, step: step.clone(), evidence: evidence.clone() })
        }
        Entry::Finished { outcome: RunOutcome::Closed { by, reason } } => {
            (by, DecisionKind::Closed { reason: reason.clone() })
        }
        _ => return None,
    };
    Some(Decision { at: seconds(record.at), by: by.clone(), kind })
}

/// The notices that were added.
pub(super) fn notices(ledger: &Ledger<'_>) -> Vec<Notice> {
    let notice = |record: &Record| match &record.entry {
        Entry::Noted { facts } => Some(Notice { at: seconds(record.at), facts: facts.clone() }),
        _ => None,
    };
    ledger.records.iter().filter_map(notice).collect()
}
