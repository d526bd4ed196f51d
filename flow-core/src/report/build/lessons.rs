//! What a failure teaches: the standard's response and what to check before the next attempt.

use jiff::Timestamp;

use crate::journal::{End, Entry, Standing};
use crate::machine::{CallKey, CallState, Phase, Running};
use crate::report::build::ledger::Ledger;
use crate::report::{
    Check, Document, Emergency, EmergencyState, EmergencyStep, Lessons, ReportOutcome, TargetEnd,
};
use crate::stage::StageName;

/// The lessons; none where the run did not fail.
pub(super) fn lessons(ledger: &Ledger<'_>, document: &Document) -> Option<Lessons> {
    let failure = document.failure.as_ref()?;
    let running = ledger.running.as_ref()?;
    Some(Lessons {
        response: response(running, document, failure.at),
        checks: checks(ledger, running, document),
    })
}

fn response(running: &Running, document: &Document, stopped: Timestamp) -> Vec<EmergencyStep> {
    let rollback = document.rollback.as_ref();
    let back = match rollback {
        // A release that is verified stays, whatever else could not be finished.
        None if running.stage.is_none() => EmergencyState::NotNeeded,
        None => EmergencyState::Open,
        Some(rollback) => {
            let whole = rollback.standing.is_empty() && rollback.ended.is_some();
            let tried = rollback.targets.iter().any(|target| target.state != TargetEnd::Pending);
            match (whole, tried) {
                (true, _) => EmergencyState::Done,
                (false, true) => EmergencyState::Partly,
                (false, false) => EmergencyState::Open,
            }
        }
    };
    let ended = rollback.and_then(|rollback| rollback.ended).filter(|_| back == EmergencyState::Done);
    let step = |step, state, at| EmergencyStep { step, state, at };
    vec![
        step(Emergency::Stop, EmergencyState::Done, Some(stopped)),
        step(Emergency::RollBack, back, ended),
        // The evidence is kept; finding the cause in it is left to people.
        step(Emergency::RootCause, EmergencyState::Partly, Some(stopped)),
        step(Emergency::Redeploy, EmergencyState::Open, None),
        step(Emergency::Lessons, EmergencyState::Open, None),
    ]
}

fn checks(ledger: &Ledger<'_>, running: &Running, document: &Document) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(failure) = &document.failure {
        checks.push(Check::CauseGone { kind: failure.cause.kind });
    }
    checks.extend(in_doubt(running).into_iter().map(|call| Check::InDoubt { call }));
    checks.extend(standing(ledger, document).into_iter().map(|standing| Check::Standing { standing }));
    let unfinished =
        running.stage.map(|at| StageName::ALL.into_iter().filter(|stage| *stage >= at).collect());
    checks.extend(unfinished.map(|stages| Check::NeverReached { stages }));
    checks.push(Check::PlanAgain { plan: running.plan.hash });
    checks
}

/// The forward calls whose end nobody can tell.
fn in_doubt(running: &Running) -> Vec<CallKey> {
    let doubtful = |call: &CallState| match call {
        CallState::Effect(effect) => match &effect.ended {
            Some(ended) => matches!(ended.end, End::InDoubt | End::Cancelled),
            None => effect.worst == Some(End::InDoubt),
        },
        _ => false,
    };
    let forward = running.calls.iter().filter(|(key, _)| key.phase == Phase::Do);
    forward.filter(|(_, call)| doubtful(call)).map(|(key, _)| key.clone()).collect()
}

/// What still stands of the run: what it parked with and nobody has settled.
pub(super) fn standing(ledger: &Ledger<'_>, document: &Document) -> Vec<Standing> {
    let Some(running) = &ledger.running else { return Vec::new() };
    match document.outcome {
        ReportOutcome::Parked => running.standing.clone(),
        // Whoever closed the run answers for the rest; a held run's work stands because nobody has decided yet.
        ReportOutcome::Closed if was_parked(ledger) => running.standing.clone(),
        _ => Vec::new(),
    }
}

fn was_parked(ledger: &Ledger<'_>) -> bool {
    ledger.records.iter().any(|record| matches!(record.entry, Entry::Parked { .. }))
}
