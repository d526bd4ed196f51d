//! Why a run stopped going forward, and at which step.

use crate::error::{Cause, ErrorKind};
use crate::journal::{Entry, Record};
use crate::machine::{Mode, Phase, Running};
use crate::name::Name;
use crate::policy::Border;
use crate::report::Failure;
use crate::report::build::ledger::{Ledger, seconds};
use crate::stage::StageName;

/// The failure that the run ended with, or that it waits with; none where it goes forward or is done.
pub(super) fn failure(ledger: &Ledger<'_>) -> Option<Failure> {
    let running = ledger.running.as_ref()?;
    if matches!(running.mode, Mode::Forward | Mode::Completed) {
        return None;
    }
    let (record, cause) = turning_point(ledger.records)?;
    let failed = failed_step(ledger, record, cause).or_else(|| only_candidate(running, cause));
    let end = failed.as_ref().and_then(|(stage, step)| Some(ledger.last_failure(*stage, step)?.0));
    let (stage, step) = failed.map_or((running.stage, None), |(stage, step)| (Some(stage), Some(step)));
    Some(Failure { at: seconds(record.at), stage, step, end, cause: cause.clone() })
}

/// The entry that stopped the run: the hold that nobody released, else the turn back, else the parking at the end.
fn turning_point(records: &[Record]) -> Option<(&Record, &Cause)> {
    let mut stopped = None;
    for record in records {
        match &record.entry {
            Entry::Held { cause } => stopped = Some((record, cause)),
            Entry::Released { .. } => stopped = None,
            Entry::UndoFrozen { cause, .. } | Entry::Parked { cause, .. } => {
                stopped = stopped.or(Some((record, cause)));
            }
            Entry::Resumed { .. } if !turned_back(records) => stopped = None,
            _ => {}
        }
    }
    stopped
}

fn turned_back(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.entry, Entry::UndoFrozen { .. }))
}

/// The step whose call ended with this very cause.
fn failed_step(ledger: &Ledger<'_>, point: &Record, cause: &Cause) -> Option<(StageName, Name)> {
    let mut before = ledger.records.iter().rev().skip_while(|record| record.seq >= point.seq);
    before.find_map(|record| match &record.entry {
        Entry::Ended { key, ended } if key.phase == Phase::Do && ended.cause.as_ref() == Some(cause) => {
            Some((key.stage, key.step.clone()))
        }
        _ => None,
    })
}

/// The step that must have failed before it had a call of its own, where only one was at work.
fn only_candidate(running: &Running, cause: &Cause) -> Option<(StageName, Name)> {
    // A border stops the run before the next step begins: that one has not failed.
    if cause.kind == ErrorKind::Cancelled || Border::told_by(cause).is_some() {
        return None;
    }
    let stage = running.stage?;
    let items = &running.plan.stage(stage)?.items;
    let first = items.iter().find(|item| !running.is_finished(stage, item))?;
    let mut at_work =
        items.iter().filter(|item| item.group == first.group && !running.is_finished(stage, item));
    match (at_work.next(), at_work.next()) {
        (Some(only), None) => Some((stage, only.name.clone())),
        _ => None,
    }
}
