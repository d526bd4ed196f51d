//! How an anomaly was handled, from what the journal holds after it.

use crate::gate::Verdict;
use crate::journal::{End, Entry, RunOutcome};
use crate::machine::{CallKey, TargetState};
use crate::name::Name;
use crate::report::build::ledger::Ledger;
use crate::report::build::moves::judgement;
use crate::report::{AnomalyKind, Handling};
use crate::rollback::Reversibility;
use crate::stage::StageName;

/// How `kind`, recorded at `index`, was handled.
pub(super) fn handled(ledger: &Ledger<'_>, index: usize, kind: &AnomalyKind) -> Vec<Handling> {
    match kind {
        AnomalyKind::AttemptFailed { call, .. } => tried_again(ledger, index, call).into_iter().collect(),
        AnomalyKind::CallFailed { call, end, .. } => failed_call(ledger, index, call, *end),
        AnomalyKind::TakenOver { .. } if ledger.from(index + 1).is_empty() => Vec::new(),
        AnomalyKind::TakenOver { .. } => vec![Handling::WentOn],
        AnomalyKind::NotPassed { stage, step, .. } => judged(ledger, index, *stage, step),
        AnomalyKind::NotApproved { call, .. } => given_up(ledger, index, call.stage, &call.step),
        AnomalyKind::Cancelled { .. } => vec![Handling::TurnedBack],
        AnomalyKind::Held { .. } => decided(ledger, index, None),
        AnomalyKind::UndoFailed { stage, step, .. } => decided(ledger, index, Some((*stage, step))),
        AnomalyKind::Parked { .. } => decided(ledger, index, None),
        AnomalyKind::ReceiptUnreadable { .. } => Vec::new(),
    }
}

fn failed_call(ledger: &Ledger<'_>, index: usize, call: &CallKey, end: End) -> Vec<Handling> {
    let mut handled = Vec::new();
    if end == End::Rejected {
        handled.push(Handling::NothingLeft);
    }
    handled.extend(tried_again(ledger, index, call));
    handled.extend(turned_back(ledger, index));
    handled.extend(undone(ledger, call.stage, &call.step));
    handled
}

fn tried_again(ledger: &Ledger<'_>, index: usize, call: &CallKey) -> Option<Handling> {
    let again = |entry: &Entry| matches!(entry, Entry::Intended { key, .. } if key == call);
    let (attempts, end) = ledger.end_of(call);
    let followed = ledger.from(index + 1).iter().any(|record| again(&record.entry));
    followed.then_some(Handling::TriedAgain { attempts, end })
}

fn turned_back(ledger: &Ledger<'_>, index: usize) -> Option<Handling> {
    let back = |entry: &Entry| matches!(entry, Entry::UndoFrozen { .. });
    ledger.from(index + 1).iter().any(|record| back(&record.entry)).then_some(Handling::TurnedBack)
}

/// What became of a step in the rollback.
fn undone(ledger: &Ledger<'_>, stage: StageName, step: &Name) -> Option<Handling> {
    let running = ledger.running.as_ref()?;
    let targets = running.undo.as_ref()?;
    let target = targets.iter().find(|(target, _)| target.stage == stage && target.step == *step);
    match target {
        Some((_, TargetState::Undone)) => Some(Handling::Undone),
        Some((_, TargetState::Failed(_))) => Some(Handling::Stands),
        Some(_) => None,
        None => {
            let item = running.plan.item(stage, step)?;
            (item.reversibility == Reversibility::NothingToUndo).then_some(Handling::NothingToUndo)
        }
    }
}

fn judged(ledger: &Ledger<'_>, index: usize, stage: StageName, step: &Name) -> Vec<Handling> {
    let later = ledger.from(index + 1).iter().filter_map(|record| match &record.entry {
        Entry::Read { key, .. } if key.stage == stage && key.step == *step => judgement(&record.entry),
        _ => None,
    });
    let mut handled = Vec::new();
    if later.into_iter().any(|judgement| judgement.verdict == Verdict::Pass) {
        handled.push(Handling::PassedLater);
    }
    handled.extend(given_up(ledger, index, stage, step));
    handled
}

/// A rollout that was not concluded when the run turned back was given up.
fn given_up(ledger: &Ledger<'_>, index: usize, stage: StageName, step: &Name) -> Vec<Handling> {
    let concluded =
        ledger.running.as_ref().is_some_and(|run| run.concluded.contains_key(&(stage, step.clone())));
    let back = turned_back(ledger, index);
    if concluded || back.is_none() {
        return Vec::new();
    }
    [Some(Handling::GivenUp), back, undone(ledger, stage, step)].into_iter().flatten().collect()
}

/// What people decided after a stop, up to the next one; for an undo that failed, whatever became of that undo.
fn decided(ledger: &Ledger<'_>, index: usize, undo: Option<(StageName, &Name)>) -> Vec<Handling> {
    let mut handled = Vec::new();
    for record in ledger.from(index + 1) {
        match &record.entry {
            Entry::Released { by } => handled.push(Handling::Released { by: by.clone() }),
            Entry::Resumed { by } => handled.push(Handling::Resumed { by: by.clone() }),
            Entry::UndoFrozen { .. } => handled.push(Handling::TurnedBack),
            Entry::Resolved { stage, step, by, evidence }
                if undo.is_none_or(|(of, name)| of == *stage && name == step) =>
            {
                let (step, by, evidence) = (step.clone(), by.clone(), evidence.clone());
                handled.push(Handling::Resolved { step, by, evidence });
            }
            Entry::Undone { stage, step } if undo == Some((*stage, step)) => handled.push(Handling::Undone),
            Entry::Finished { outcome: RunOutcome::Closed { by, reason } } => {
                handled.push(Handling::Closed { by: by.clone(), reason: reason.clone() });
            }
            Entry::UndoFailed { stage, step, .. } if undo == Some((*stage, step)) => break,
            Entry::Held { .. } | Entry::Parked { .. } if undo.is_none() => break,
            _ => {}
        }
    }
    handled
}
