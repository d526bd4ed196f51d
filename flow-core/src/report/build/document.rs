use std::time::Duration;

use crate::journal::{Entry, Record};
use crate::machine::Mode;
use crate::plan::Plan;
use crate::report::build::failure::failure;
use crate::report::build::ledger::{Ledger, milliseconds, seconds};
use crate::report::build::{advice, anomalies, gates, lessons, people, rollback, stages};
use crate::report::{Audit, Document, FORMAT, ReportOutcome, RunFacts, Times};
use crate::rollback::Reversibility;

/// Everything that `records` say.
pub(in crate::report) fn document(records: &[Record]) -> Document {
    let ledger = Ledger::of(records);
    let failure = failure(&ledger);
    let stages = stages::stages(&ledger, failure.as_ref());
    let gates = gates::gates(&ledger);
    let rollback = rollback::rollback(&ledger);
    let declarations = people::declarations(&ledger);
    let anomalies = anomalies::anomalies(&ledger);
    let mut document = Document {
        format: FORMAT,
        outcome: outcome(ledger.mode()),
        run: ledger.running.as_ref().map(|running| run(&ledger, &running.plan)),
        times: times(&ledger),
        stages,
        anomalies,
        gates,
        failure,
        rollback,
        lessons: None,
        decisions: people::decisions(&ledger),
        declarations,
        notices: people::notices(&ledger),
        suggestions: Vec::new(),
        audit: audit(records, &ledger),
    };
    document.lessons = lessons::lessons(&ledger, &document);
    document.suggestions = advice::suggestions(&ledger, &document);
    document
}

const fn outcome(mode: Mode) -> ReportOutcome {
    match mode {
        Mode::Forward | Mode::Undoing => ReportOutcome::Running,
        Mode::Held => ReportOutcome::Held,
        Mode::Parked => ReportOutcome::Parked,
        Mode::Completed => ReportOutcome::Completed,
        Mode::RolledBack => ReportOutcome::RolledBack,
        Mode::Closed => ReportOutcome::Closed,
    }
}

fn run(ledger: &Ledger<'_>, plan: &Plan) -> RunFacts {
    let mut approvals = Vec::new();
    let mut owners = Vec::new();
    for record in ledger.records {
        match &record.entry {
            Entry::Started { owner, approvals: given, .. } => {
                owners.push(owner.clone());
                approvals.clone_from(given);
            }
            Entry::OwnerChanged { owner, .. } => owners.push(owner.clone()),
            _ => {}
        }
    }
    let irreversible = plan.items().filter_map(|(_, item)| match &item.reversibility {
        Reversibility::Irreversible { reason } => Some((item.name.clone(), reason.clone())),
        _ => None,
    });
    RunFacts {
        application: plan.application.clone(),
        environment: plan.environment,
        release: plan.release.clone(),
        artifacts: plan.artifacts.clone(),
        initiator: plan.initiator.clone(),
        approvals,
        approvals_needed: plan.approvals,
        irreversible: irreversible.collect(),
        on_failure: plan.on_failure,
        keep_warm_ms: whole_milliseconds(plan.keep_warm),
        plan_hash: plan.hash,
        fingerprint: plan.fingerprint,
        owners,
    }
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn times(ledger: &Ledger<'_>) -> Times {
    let (Some(first), Some(last)) = (ledger.records.first(), ledger.records.last()) else {
        return Times::default();
    };
    let finished = ledger.records.iter().find(|record| matches!(record.entry, Entry::Finished { .. }));
    Times {
        started: Some(seconds(first.at)),
        ended: finished.map(|record| seconds(record.at)),
        last: Some(seconds(last.at)),
        duration_ms: milliseconds(first.at, finished.unwrap_or(last).at),
    }
}

fn audit(records: &[Record], ledger: &Ledger<'_>) -> Audit {
    Audit {
        records: u64::try_from(records.len()).unwrap_or(u64::MAX),
        head: records.last().map(|record| record.hash),
        refused: ledger.refused.clone(),
    }
}
