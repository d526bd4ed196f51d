//! The eight stages with their 36 activities, and how far each came.

use crate::journal::End;
use crate::machine::{CallState, EffectState, Mode, Phase, Running, TargetState};
use crate::name::Name;
use crate::plan::{Declaration, ItemKind, PlannedItem, PlannedStage};
use crate::report::build::ledger::{Ledger, Span, seconds};
use crate::report::build::moves;
use crate::report::build::receipt::{Handed, handed};
use crate::report::{ActivityReport, Failure, Proof, StageReport, Status, StepReport};
use crate::stage::{ActivityName, StageName};

/// The name under which a rollout's evidence lists its moves; they are shown once, with the rollout.
const MOVES: &str = "moves";

/// All eight stages, whatever the journal holds.
pub(super) fn stages(ledger: &Ledger<'_>, failure: Option<&Failure>) -> Vec<StageReport> {
    StageName::ALL.into_iter().map(|stage| one(ledger, failure, stage)).collect()
}

/// A step with what it handed over.
struct Stepped {
    report: StepReport,
    handed: Option<Handed>,
}

fn one(ledger: &Ledger<'_>, failure: Option<&Failure>, stage: StageName) -> StageReport {
    let running = ledger.running.as_ref();
    let planned = running.and_then(|running| Some((running, running.plan.stage(stage)?)));
    let steps: Vec<(&PlannedItem, Stepped)> = planned.map_or_else(Vec::new, |(running, planned)| {
        planned.items.iter().map(|item| (item, step(ledger, running, failure, stage, item))).collect()
    });
    let rows = stage.activities().into_iter();
    let rows: Vec<ActivityReport> =
        rows.map(|activity| row(planned.map(|(_, planned)| planned), &steps, activity)).collect();
    let status = overall(ledger, failure, stage, &rows);
    let steps = steps.into_iter().map(|(_, stepped)| stepped.report).collect();
    StageReport { stage, number: stage.number(), status, activities: rows, steps }
}

fn row(
    planned: Option<&PlannedStage>,
    steps: &[(&PlannedItem, Stepped)],
    activity: ActivityName,
) -> ActivityReport {
    let covering: Vec<&Stepped> = steps
        .iter()
        .filter(|(item, _)| item.covers.contains(&activity))
        .map(|(_, stepped)| stepped)
        .collect();
    let declaration =
        planned.filter(|_| covering.is_empty()).and_then(|planned| declared(planned, &activity));
    let gravest = covering.iter().map(|stepped| stepped.report.status).max();
    let status = match (gravest, &declaration, planned) {
        (Some(status), _, _) => status,
        (None, Some(_), _) => Status::NotApplicable,
        (None, None, Some(_)) => Status::NotCovered,
        (None, None, None) => Status::NotReached,
    };
    let evidence = covering.iter().flat_map(|stepped| proofs(stepped, &activity)).collect();
    let steps = covering.iter().map(|stepped| stepped.report.step.clone()).collect();
    ActivityReport { activity, status, steps, declaration, evidence }
}

fn declared(planned: &PlannedStage, activity: &ActivityName) -> Option<Declaration> {
    let without = planned.without.iter().find(|(left_out, _)| left_out == activity);
    without.map(|(_, declaration)| declaration).or(planned.not_applicable.as_ref()).cloned()
}

fn proofs(stepped: &Stepped, activity: &ActivityName) -> Vec<Proof> {
    let shown = stepped.handed.iter().flat_map(|handed| &handed.evidence);
    let of_activity = shown.filter(|shown| shown.activity == *activity);
    let proof = of_activity.map(|shown| {
        let mut observed = shown.observed.clone();
        if stepped.report.strategy.is_some() {
            observed.remove(MOVES);
        }
        Proof { step: stepped.report.step.clone(), summary: shown.summary.clone(), observed }
    });
    proof.collect()
}

/// The stage as a whole: the gravest of its activities, but done only once it is recorded as finished.
fn overall(
    ledger: &Ledger<'_>,
    failure: Option<&Failure>,
    stage: StageName,
    rows: &[ActivityReport],
) -> Status {
    let gravest = rows.iter().map(|row| row.status).max().unwrap_or(Status::NotReached);
    let Some(running) = &ledger.running else { return gravest };
    let finished = running.stage.is_none_or(|at| at > stage);
    let begun = rows.iter().any(|row| !matches!(row.status, Status::NotReached | Status::NotApplicable));
    if finished || gravest == Status::NotApplicable || gravest > Status::NotReached {
        return gravest;
    }
    match (running.mode, failure.and_then(|failure| failure.stage)) {
        (Mode::Forward, _) if begun => Status::UnderWay,
        (Mode::Forward, _) => Status::NotReached,
        (_, Some(failed)) if failed == stage => Status::Failed,
        _ if gravest == Status::Done => Status::Done,
        _ => Status::NotReached,
    }
}

fn step(
    ledger: &Ledger<'_>,
    running: &Running,
    failure: Option<&Failure>,
    stage: StageName,
    item: &PlannedItem,
) -> Stepped {
    let failed_here = failure
        .is_some_and(|failure| failure.stage == Some(stage) && failure.step.as_ref() == Some(&item.name));
    let status = status(running, stage, item, failed_here);
    let span = ledger.forward(stage, &item.name);
    let span = if status == Status::UnderWay { Span { ended: None, ..span } } else { span };
    let finished = running.is_finished(stage, item);
    let last = ledger.last_failure(stage, &item.name).filter(|_| !finished);
    let end = if finished { Some(End::Done) } else { last.map(|(end, _)| end) };
    let told = last.filter(|(end, _)| *end != End::Done).map(|(_, cause)| cause.clone());
    let handed = handed(running, stage, item);
    let strategy = match &item.kind {
        ItemKind::Rollout { strategy } => Some(strategy.clone()),
        ItemKind::Step => None,
    };
    let mut made = if strategy.is_some() { moves::moves(ledger, stage, &item.name) } else { Vec::new() };
    if made.is_empty() {
        let shown = handed.iter().flat_map(|handed| &handed.evidence);
        let listed = shown.filter(|_| strategy.is_some()).find_map(|shown| shown.observed.get(MOVES));
        made = listed.map(moves::listed).unwrap_or_default();
    }
    let report = StepReport {
        step: item.name.clone(),
        strategy,
        status,
        reversibility: item.reversibility.clone(),
        began: span.began.map(seconds),
        ended: span.ended.map(seconds),
        duration_ms: span.duration_ms(),
        attempts: span.attempts,
        end,
        cause: told.or_else(|| failure.filter(|_| failed_here).map(|failure| failure.cause.clone())),
        moves: made,
    };
    Stepped { report, handed }
}

fn status(running: &Running, stage: StageName, item: &PlannedItem, failed_here: bool) -> Status {
    match undo_of(running, stage, &item.name) {
        Some(TargetState::Undone) => return Status::Undone,
        Some(TargetState::Failed(_)) => return Status::Standing,
        Some(TargetState::Resolved) => return Status::Resolved,
        Some(TargetState::Pending) | None => {}
    }
    if running.undo.is_some() && stands_beyond(running, stage, &item.name) {
        return Status::Standing;
    }
    if running.is_finished(stage, item) {
        return Status::Done;
    }
    let calls = calls(running, stage, &item.name);
    let effects = calls.iter().filter_map(|call| match call {
        CallState::Effect(effect) => Some(effect),
        _ => None,
    });
    let worst = effects.filter_map(worst_of).max();
    match worst {
        Some(status) if status != Status::UnderWay => status,
        None if calls.is_empty() && !failed_here => Status::NotReached,
        _ if failed_here => Status::Failed,
        _ if running.mode == Mode::Forward => Status::UnderWay,
        // The run turned back before it came to an end.
        _ => Status::InDoubt,
    }
}

/// What one effect of an unfinished item says of it; a move that is done says nothing.
fn worst_of(effect: &EffectState) -> Option<Status> {
    match effect.ended.as_ref().map(|ended| ended.end) {
        Some(End::Done) => None,
        Some(End::Rejected) => Some(Status::Failed),
        Some(End::Cancelled | End::InDoubt) => Some(Status::InDoubt),
        None if !effect.open && effect.worst == Some(End::InDoubt) => Some(Status::InDoubt),
        None => Some(Status::UnderWay),
    }
}

fn undo_of<'a>(running: &'a Running, stage: StageName, step: &Name) -> Option<&'a TargetState> {
    let targets = running.undo.iter().flatten();
    let mut of_step = targets.filter(|(target, _)| target.stage == stage && target.step == *step);
    of_step.next().map(|(_, state)| state)
}

fn stands_beyond(running: &Running, stage: StageName, step: &Name) -> bool {
    running.still_standing().iter().any(|standing| standing.stage == stage && standing.step == *step)
}

/// The forward calls of a step or rollout, its reads aside.
fn calls<'a>(running: &'a Running, stage: StageName, step: &Name) -> Vec<&'a CallState> {
    let of_step = running
        .calls
        .iter()
        .filter(|(key, _)| key.stage == stage && key.step == *step && key.phase == Phase::Do);
    of_step.map(|(_, call)| call).collect()
}
