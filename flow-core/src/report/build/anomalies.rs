//! What did not go as planned.

use crate::error::ErrorKind;
use crate::gate::Verdict;
use crate::journal::{End, Entry, Record, Signal};
use crate::machine::Phase;
use crate::report::build::handled::handled;
use crate::report::build::ledger::{Ledger, milliseconds, seconds};
use crate::report::build::moves::judgement;
use crate::report::build::receipt::handed;
use crate::report::{Anomaly, AnomalyKind};

/// Everything that did not go as planned and how it was handled, oldest first.
pub(super) fn anomalies(ledger: &Ledger<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (index, record) in ledger.records.iter().enumerate() {
        if let Some(kind) = kind(ledger, index, record) {
            let handled = handled(ledger, index, &kind);
            anomalies.push(Anomaly { at: seconds(record.at), kind, handled });
        }
    }
    anomalies.extend(unreadable(ledger));
    anomalies
}

fn kind(ledger: &Ledger<'_>, index: usize, record: &Record) -> Option<AnomalyKind> {
    match &record.entry {
        Entry::Attempted { key, attempt, end, cause } => Some(AnomalyKind::AttemptFailed {
            call: key.clone(),
            attempt: *attempt,
            end: *end,
            cause: cause.clone(),
        }),
        // An undo's bad end is told by what follows it: the undo that failed.
        Entry::Ended { key, ended } if ended.end != End::Done && key.phase == Phase::Do => {
            let cause = ended.cause.clone()?;
            Some(AnomalyKind::CallFailed { call: key.clone(), end: ended.end, cause })
        }
        Entry::OwnerChanged { owner, fence } => {
            let takeover = ledger.takeovers.iter().find(|takeover| takeover.index == index)?;
            let before = index.checked_sub(1).and_then(|before| ledger.records.get(before))?;
            Some(AnomalyKind::TakenOver {
                from: owner_before(ledger, index)?.to_owned(),
                to: owner.clone(),
                fence: *fence,
                gap_ms: milliseconds(before.at, record.at),
                direction: takeover.direction,
                lost: takeover.lost.clone(),
            })
        }
        Entry::Read { key, .. } => {
            let judgement =
                judgement(&record.entry).filter(|judgement| judgement.verdict != Verdict::Pass)?;
            Some(AnomalyKind::NotPassed { stage: key.stage, step: key.step.clone(), judgement })
        }
        Entry::Signalled { key, signal } => {
            let (by, reason) = match signal {
                Signal::Approved { .. } => return None,
                Signal::Refused { by, reason } => (Some(by.clone()), Some(reason.clone())),
                Signal::TimedOut => (None, None),
            };
            Some(AnomalyKind::NotApproved { call: key.clone(), by, reason })
        }
        entry => stop(entry),
    }
}

/// What stopped the run, or its undo.
fn stop(entry: &Entry) -> Option<AnomalyKind> {
    match entry {
        Entry::Held { cause } => Some(AnomalyKind::Held { cause: cause.clone() }),
        Entry::UndoFrozen { cause, .. } if cause.kind == ErrorKind::Cancelled => {
            Some(AnomalyKind::Cancelled { cause: cause.clone() })
        }
        Entry::UndoFailed { stage, step, cause } => {
            Some(AnomalyKind::UndoFailed { stage: *stage, step: step.clone(), cause: cause.clone() })
        }
        Entry::Parked { standing, cause } => {
            Some(AnomalyKind::Parked { cause: cause.clone(), standing: standing.clone() })
        }
        _ => None,
    }
}

fn owner_before<'a>(ledger: &Ledger<'a>, index: usize) -> Option<&'a str> {
    let earlier = ledger.records.get(..index)?.iter().rev();
    let mut owners = earlier.filter_map(|record| match &record.entry {
        Entry::Started { owner, .. } | Entry::OwnerChanged { owner, .. } => Some(owner.as_str()),
        _ => None,
    });
    owners.next()
}

/// Receipts that cannot be read: what is missing here must not look like something that was never observed.
fn unreadable(ledger: &Ledger<'_>) -> Vec<Anomaly> {
    let Some((running, last)) = ledger.running.as_ref().zip(ledger.records.last()) else { return Vec::new() };
    let broken = running
        .plan
        .items()
        .filter(|(stage, item)| handed(running, *stage, item).is_some_and(|handed| handed.broken));
    let anomaly = broken.map(|(stage, item)| Anomaly {
        at: seconds(last.at),
        kind: AnomalyKind::ReceiptUnreadable { stage, step: item.name.clone() },
        handled: Vec::new(),
    });
    anomaly.collect()
}
