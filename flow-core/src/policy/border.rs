//! The second moment: what a run has proved by the time that something depends on it.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::gate::StandardGate;
use crate::journal::Recorded;
use crate::machine::Running;
use crate::plan::{Plan, PlannedItem};
use crate::policy::plan::{applies, is_due};
use crate::policy::{Border, Broken, Policy, Proof, Violation, Violations};
use crate::stage::StageName;

/// The part of a plan that is done when a run comes to a border.
pub(crate) struct Reach<'a> {
    plan: &'a Plan,
    border: Border,
    /// The first group of stage 3 that applies a migration.
    apply: Option<u32>,
}

impl<'a> Reach<'a> {
    pub(crate) fn of(plan: &'a Plan, border: Border) -> Self {
        let applying = plan.items().filter(|(stage, item)| applies(*stage, item));
        Self { plan, border, apply: applying.map(|(_, item)| item.group).min() }
    }

    /// The items that must be done by then.
    pub(crate) fn items(&self) -> impl Iterator<Item = (StageName, &'a PlannedItem)> + '_ {
        self.plan.items().filter(|(stage, item)| self.has(*stage, item))
    }

    fn has(&self, stage: StageName, item: &PlannedItem) -> bool {
        match self.border {
            Border::Prepared => stage == StageName::Prepare,
            Border::BeforeApply if stage == StageName::Migrate => {
                self.apply.is_none_or(|apply| item.group < apply)
            }
            Border::BeforeApply => stage < StageName::Migrate,
            Border::Migrated => stage <= StageName::Migrate,
            Border::Verified => true,
        }
    }

    /// Whether `group` of `stage` lies right behind the border.
    pub(crate) fn ends_before(&self, stage: StageName, group: u32) -> bool {
        self.border == Border::BeforeApply && stage == StageName::Migrate && self.apply == Some(group)
    }
}

/// Everything in which a run breaks `policy` at `border`, from its recorded receipts alone: a resumed run is judged
/// like one that was never interrupted.
pub(crate) fn at_border(policy: &Policy, running: &Running, border: Border) -> Result<(), Violations> {
    let plan = &running.plan;
    let environment = plan.environment;
    let mut all = Vec::new();
    let due = policy.proofs.iter().filter(|proof| {
        let saved = **proof == Proof::BackupRestored && border == Border::Migrated;
        (proof.border() == border || saved) && is_due(plan, **proof)
    });
    for proof in due {
        let reach = Reach::of(plan, proof.border());
        let mut proving = reach.items().filter(|(_, item)| item.proves.contains(proof)).peekable();
        if proving.peek().is_none() {
            all.push(Violation::NothingProves { proof: *proof, border, environment });
        }
        for (_, item) in proving.filter(|(stage, item)| !proved(running, *stage, item).contains(proof)) {
            all.push(Violation::Unproved { step: item.name.clone(), proof: *proof, border, environment });
        }
    }
    if border == Border::Verified {
        all.extend(figures(policy, running));
    }
    if all.is_empty() { Ok(()) } else { Err(Violations { border, all }) }
}

/// What a finished item has proved.
pub(crate) fn proved(running: &Running, stage: StageName, item: &PlannedItem) -> BTreeSet<Proof> {
    let Some(Recorded(receipt)) = running.receipt(stage, item) else { return BTreeSet::new() };
    let named = receipt.get("proofs").map(BTreeSet::<Proof>::deserialize);
    // A step is done only with evidence for all that it covers: that was checked when it ended.
    let evident = item.covers.iter().filter_map(Proof::of_evidence);
    named.and_then(Result::ok).unwrap_or_default().into_iter().chain(evident).collect()
}

/// A figure as JSON has it: a value that is no number became null.
#[derive(Deserialize)]
struct Figured {
    gate: StandardGate,
    value: Option<f64>,
}

fn figures(policy: &Policy, running: &Running) -> Vec<Violation> {
    let mut measured = BTreeSet::new();
    let mut broken = Vec::new();
    for (stage, item) in running.plan.items() {
        let Some(Recorded(receipt)) = running.receipt(stage, item) else { continue };
        let figures = receipt.get("figures").and_then(serde_json::Value::as_array);
        for figure in figures.into_iter().flatten().filter_map(|figure| Figured::deserialize(figure).ok()) {
            let Figured { gate, value } = figure;
            measured.insert(gate);
            let holds = value.is_some_and(|value| policy.holds(gate, value));
            if !holds && (policy.figures.broken == Broken::Fails || policy.figures.demanded.contains(&gate)) {
                let (step, limit) = (item.name.clone(), policy.limit(gate));
                broken.push(Violation::GateBroken { gate, step, value, limit });
            }
        }
    }
    let environment = running.plan.environment;
    let missing = policy.measured().filter(|gate| !measured.contains(gate));
    missing.map(|gate| Violation::NotMeasured { gate, environment }).chain(broken).collect()
}
