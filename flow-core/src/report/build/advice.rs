//! Suggestions for the time after the run, each from a fact of the journal.

use std::collections::BTreeMap;

use crate::gate::Verdict;
use crate::machine::{CallKey, Mode, Phase, Running};
use crate::name::Name;
use crate::report::build::ledger::Ledger;
use crate::report::build::lessons::standing;
use crate::report::build::receipt::handed;
use crate::report::{AnomalyKind, Direction, Document, GateVerdict, ReportOutcome, Suggestion};
use crate::rollback::Reversibility;

/// What should be done or watched, the most pressing first.
pub(super) fn suggestions(ledger: &Ledger<'_>, document: &Document) -> Vec<Suggestion> {
    let mut suggestions = Vec::new();
    if let Some(refused) = &document.audit.refused {
        suggestions.push(Suggestion::Investigate { seq: refused.seq });
    }
    suggestions.extend(stop(ledger, document));
    let standing = standing(ledger, document).into_iter();
    suggestions.extend(standing.map(|standing| Suggestion::Settle { standing }));
    suggestions.extend(kept_warm(ledger));
    suggestions.extend(of_gates(document));
    suggestions.extend(of_anomalies(ledger, document));
    suggestions.extend(of_facts(ledger));
    let declared = document.declarations.iter().cloned();
    suggestions.extend(declared.map(|declared| Suggestion::Revisit { declared }));
    suggestions
}

/// What a run that is not over waits for.
fn stop(ledger: &Ledger<'_>, document: &Document) -> Option<Suggestion> {
    let running = ledger.running.as_ref()?;
    match document.outcome {
        ReportOutcome::Held => Some(Suggestion::Decide),
        ReportOutcome::Running => {
            let direction = if running.mode == Mode::Undoing { Direction::Back } else { Direction::Forward };
            Some(Suggestion::CarryOn { direction })
        }
        _ => None,
    }
}

/// The instances that rollouts replaced: still there, or stopped so that the quick way back is gone.
fn kept_warm(ledger: &Ledger<'_>) -> Vec<Suggestion> {
    let Some(running) = &ledger.running else { return Vec::new() };
    let mut suggestions = Vec::new();
    let mut stopped = Vec::new();
    for (stage, item) in running.plan.items() {
        let Some(warm) = handed(running, stage, item).and_then(|handed| handed.kept_warm) else { continue };
        // Going back, the replaced instances serve again.
        if warm.instances.is_empty() || running.undo.is_some() {
            continue;
        }
        if is_retired(
            running,
            &CallKey { stage, step: item.name.clone(), phase: Phase::Do, unit: warm.next_unit + 1 },
        ) {
            stopped.push(item.name.clone());
        } else {
            let instances = warm.instances.into_iter().map(|instance| instance.id).collect();
            suggestions.push(Suggestion::KeptWarm { stage, step: item.name.clone(), instances });
        }
    }
    if !stopped.is_empty() {
        suggestions.push(Suggestion::WayBackClosed { steps: stopped });
    }
    suggestions
}

fn is_retired(running: &Running, retirement: &CallKey) -> bool {
    running.effect(retirement).is_some_and(crate::machine::EffectState::is_done)
}

fn of_gates(document: &Document) -> Vec<Suggestion> {
    let broken = document.gates.iter().filter(|report| report.verdict == GateVerdict::Broken);
    let broken = broken.map(|report| {
        let values = report.figures.iter().filter(|figure| !figure.holds).map(|figure| figure.value);
        Suggestion::GateBroken { gate: report.gate, values: values.collect() }
    });
    let mut suggestions: Vec<Suggestion> = broken.collect();
    let missing = document.gates.iter().filter(|report| report.verdict == GateVerdict::NotMeasured);
    let gates: Vec<_> = missing.map(|report| report.gate).collect();
    if !gates.is_empty() && document.run.is_some() {
        suggestions.push(Suggestion::MeasureGates { gates });
    }
    suggestions
}

fn of_anomalies(ledger: &Ledger<'_>, document: &Document) -> Vec<Suggestion> {
    let mut retried = BTreeMap::new();
    let mut silent: BTreeMap<_, (Verdict, u32)> = BTreeMap::new();
    let (mut times, mut longest_ms) = (0, 0);
    for anomaly in &document.anomalies {
        match &anomaly.kind {
            AnomalyKind::AttemptFailed { call, cause, .. } => {
                retried.insert(call.clone(), (ledger.end_of(call).0, cause.clone()));
            }
            AnomalyKind::NotPassed { stage, step, judgement } if judgement.verdict != Verdict::Fail => {
                let known = silent.entry((*stage, step.clone())).or_insert((judgement.verdict, 0));
                *known = (judgement.verdict, known.1 + 1);
            }
            AnomalyKind::TakenOver { gap_ms, .. } => {
                (times, longest_ms) = (times + 1, longest_ms.max(*gap_ms));
            }
            _ => {}
        }
    }
    let retried = retried.into_iter();
    let mut suggestions: Vec<Suggestion> =
        retried.map(|(call, (attempts, cause))| Suggestion::Retries { call, attempts, cause }).collect();
    suggestions.extend(silent.into_iter().map(|((stage, step), (verdict, times))| Suggestion::SilentGate {
        stage,
        step,
        verdict,
        times,
    }));
    if times > 0 {
        suggestions.push(Suggestion::OwnersLost { times, longest_ms });
    }
    suggestions
}

/// What finished steps left behind: backups, documents, changes without a way back.
fn of_facts(ledger: &Ledger<'_>) -> Vec<Suggestion> {
    let Some(running) = &ledger.running else { return Vec::new() };
    let mut suggestions = Vec::new();
    for (stage, item) in running.plan.items() {
        let step: &Name = &item.name;
        let Some(handed) = handed(running, stage, item) else { continue };
        if let Reversibility::Irreversible { reason } = &item.reversibility {
            suggestions.push(Suggestion::Irreversible { step: step.clone(), reason: reason.clone() });
        }
        if let Some(backup) = handed.migrate.and_then(|facts| facts.backup) {
            let (path, digest) = (backup.path, backup.digest);
            suggestions.push(Suggestion::Backup { step: step.clone(), path, digest });
        }
        if let Some(paths) = handed.verify.map(|facts| facts.documents).filter(|paths| !paths.is_empty()) {
            suggestions.push(Suggestion::Documents { paths });
        }
    }
    suggestions
}
