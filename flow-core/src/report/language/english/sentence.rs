use std::fmt::Display;

use super::word;
use crate::journal::{End, Signal};
use crate::report::{
    AnomalyKind, DecisionKind, Direction, Document, Failure, GateVerdict, Handling, MoveMade, ReportOutcome,
    RollbackReport, TargetEnd,
};

pub(super) fn title(document: &Document) -> String {
    document.run.as_ref().map_or_else(
        || "Deployment report".to_owned(),
        |run| format!("Deployment report: {} {} to {}", run.application, run.release, run.environment),
    )
}

pub(super) fn outcome(document: &Document) -> String {
    if document.run.is_none() {
        return "Nothing is recorded: the run was never started.".to_owned();
    }
    let text = match document.outcome {
        ReportOutcome::Completed => return completed(document),
        ReportOutcome::RolledBack => "Rolled back: everything that was done is undone.",
        ReportOutcome::Parked if document.rollback.is_none() => {
            "Parked: the release is verified and serves, but not everything could be finished."
        }
        ReportOutcome::Parked => "Parked: not everything could be undone, and somebody must put it in order.",
        ReportOutcome::Held => "Held: the run failed, everything stands as it is, and somebody must decide.",
        ReportOutcome::Closed => "Closed: somebody ended the run and answers for what still stands.",
        ReportOutcome::Running if document.rollback.is_some() => "Not over: the run is undoing what it did.",
        ReportOutcome::Running => "Not over: the run is going forward.",
    };
    text.to_owned()
}

fn completed(document: &Document) -> String {
    let broken = document.gates.iter().filter(|gate| gate.verdict == GateVerdict::Broken);
    let broken: Vec<&str> = broken.map(|gate| word::gate(gate.gate)).collect();
    if broken.is_empty() {
        return "Completed: all eight stages are done.".to_owned();
    }
    format!("Completed: all eight stages are done, but not within the standard: {}.", broken.join(", "))
}

pub(super) fn failure(failure: &Failure) -> String {
    let cause = &failure.cause;
    match (failure.stage, &failure.step) {
        (Some(stage), Some(step)) => format!("The run failed at `{step}` in stage {stage}: {cause}"),
        (Some(stage), None) => format!("The run stopped in stage {stage}: {cause}"),
        (None, _) => format!("The run stopped after its last stage: {cause}"),
    }
}

pub(super) fn took(rollback: &RollbackReport) -> String {
    let took = word::duration(rollback.duration_ms);
    if rollback.ended.is_some() {
        format!("It began at {} and took {took}.", rollback.began)
    } else {
        format!("It began at {} and has taken {took} so far.", rollback.began)
    }
}

pub(super) fn undone(end: &TargetEnd) -> String {
    match end {
        TargetEnd::Pending => "still to be undone".to_owned(),
        TargetEnd::Undone => "undone".to_owned(),
        TargetEnd::Failed { cause } => format!("still stands: {cause}"),
        TargetEnd::Resolved { by: Some(by), evidence: Some(evidence) } => {
            format!("resolved by {by}: {evidence}")
        }
        TargetEnd::Resolved { .. } => "resolved by hand".to_owned(),
    }
}

pub(super) fn made(made: &MoveMade) -> String {
    match made {
        MoveMade::Launched { instances } if instances.is_empty() => "launched instances".to_owned(),
        MoveMade::Launched { instances } => format!("launched {}", list(instances)),
        MoveMade::Shifted { weights } => format!("shifted traffic: {weights}"),
        MoveMade::Baked { until: Some(until) } => format!("waited until {until}"),
        MoveMade::Baked { until: None } => "waited".to_owned(),
        MoveMade::Judged { judgement } => {
            format!("the gate {}: {}", word::judged(judgement.verdict), judgement.reason)
        }
        MoveMade::Awaited { signal } => match signal {
            None => "waits for somebody's approval".to_owned(),
            Some(Signal::Approved { by }) => format!("{by} approved"),
            Some(Signal::Refused { by, reason }) => format!("{by} refused: {reason}"),
            Some(Signal::TimedOut) => "nobody approved in time".to_owned(),
        },
        MoveMade::Retired { instances } => format!("stopped {}", list(instances)),
        MoveMade::Unknown => "a change that the journal does not describe".to_owned(),
    }
}

pub(super) fn anomaly(anomaly: &AnomalyKind) -> String {
    match anomaly {
        AnomalyKind::AttemptFailed { call, attempt, end, cause } => {
            format!("attempt {attempt} of `{call}` {}: {cause}", ended(*end))
        }
        AnomalyKind::CallFailed { call, end, cause } => format!("`{call}` {}: {cause}", ended(*end)),
        AnomalyKind::TakenOver { from, to, gap_ms, direction, lost, .. } => {
            let while_it = match direction {
                Direction::Forward => "going forward",
                Direction::Back => "undoing",
            };
            let lost = if lost.is_empty() {
                "no call was under way".to_owned()
            } else {
                format!("in doubt from then on: {}", list(lost))
            };
            let gap = word::duration(*gap_ms);
            format!("the owner `{from}` was lost while {while_it}; `{to}` took over after {gap}; {lost}")
        }
        AnomalyKind::NotPassed { step, judgement, .. } => {
            format!("the gate of `{step}` {}: {}", word::judged(judgement.verdict), judgement.reason)
        }
        AnomalyKind::NotApproved { call, by: Some(by), reason } => {
            format!("{by} refused `{call}`: {}", reason.as_deref().unwrap_or_default())
        }
        AnomalyKind::NotApproved { call, .. } => format!("nobody approved `{call}` in time"),
        AnomalyKind::Cancelled { cause } => format!("the run was stopped from outside: {cause}"),
        AnomalyKind::Held { cause } => format!("the run was held: {cause}"),
        AnomalyKind::UndoFailed { stage, step, cause } => {
            format!("`{step}` of stage {stage} could not be undone: {cause}")
        }
        AnomalyKind::Parked { cause, standing } => {
            let steps: Vec<_> = standing.iter().map(|standing| &standing.step).collect();
            format!("the run was parked: {cause}; still standing: {}", list(&steps))
        }
        AnomalyKind::ReceiptUnreadable { stage, step } => {
            format!("the receipt of `{step}` in stage {stage} cannot be read in full")
        }
    }
}

/// How a call ended, as the verb of a sentence.
const fn ended(end: End) -> &'static str {
    match end {
        End::Done => "was done",
        End::Rejected => "failed",
        End::Cancelled => "was cancelled",
        End::InDoubt => "ended in doubt",
    }
}

pub(super) fn handling(handling: &Handling) -> String {
    match handling {
        Handling::TriedAgain { attempts, end: None } => format!("tried again ({attempts} attempts so far)"),
        Handling::TriedAgain { attempts, end: Some(end) } => {
            format!("tried again: the call {} after {attempts} attempts", ended(*end))
        }
        Handling::NothingLeft => "it left nothing behind".to_owned(),
        Handling::TurnedBack => "the run turned back".to_owned(),
        Handling::Undone => "the step was undone".to_owned(),
        Handling::NothingToUndo => "the step has nothing to undo".to_owned(),
        Handling::Stands => "it still stands".to_owned(),
        Handling::WentOn => "the new owner went on where the journal ended".to_owned(),
        Handling::PassedLater => "the gate was asked again and passed".to_owned(),
        Handling::GivenUp => "the rollout was given up".to_owned(),
        Handling::Released { by } => format!("{by} let the run go on"),
        Handling::Resumed { by } => format!("{by} had it tried again"),
        Handling::Resolved { step, by, evidence } => format!("{by} answers for `{step}`: {evidence}"),
        Handling::Closed { by, reason } => format!("{by} closed the run: {reason}"),
    }
}

pub(super) fn decision(decision: &DecisionKind) -> String {
    match decision {
        DecisionKind::Approved { call } => format!("approved `{call}`"),
        DecisionKind::Refused { call, reason } => format!("refused `{call}`: {reason}"),
        DecisionKind::Released => "let the held run go on".to_owned(),
        DecisionKind::Resumed => "had the parked run try again".to_owned(),
        DecisionKind::Resolved { stage, step, evidence } => {
            format!("answers for `{step}` of stage {stage}: {evidence}")
        }
        DecisionKind::Closed { reason } => format!("closed the run: {reason}"),
    }
}

/// Names one after the other, each in backticks.
pub(super) fn list<T: Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
