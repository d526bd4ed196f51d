use std::fmt::Write as _;

use super::estimate::time;
use crate::gate::StandardGate;
use crate::plain::one_line;
use crate::plan::{Coverage, ItemKind, OnFailure, Plan, PlannedItem, PlannedStage};
use crate::policy::{Policy, Scripts};

/// Where the values of the header begin.
const COLUMN: usize = 14;

impl Plan {
    /// The plan as plain text, for a terminal and for a ticket: all 36 rows of the standard, and for every step what it changes,
    /// what cannot be known yet, how it is undone and how long it may take.
    ///
    /// Whatever the free texts hold, each stays on its line and none reaches a terminal's controls.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "Plan: {} {} to {}", self.application, self.release, self.environment);
        header(&mut out, self);
        if let Some(policy) = &self.policy {
            demands(&mut out, policy);
        }
        for stage in &self.stages {
            draw_stage(&mut out, self, stage);
        }
        out
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:COLUMN$}{}", one_line(value));
}

fn header(out: &mut String, plan: &Plan) {
    field(out, "hash", &plan.hash.to_string());
    field(out, "definition", &plan.fingerprint.to_string());
    field(out, "started by", plan.initiator.as_str());
    field(out, "approvals", &format!("{} needed, the initiator's own not among them", plan.approvals));
    for artifact in &plan.artifacts {
        field(out, "artefact", &artifact.to_string());
    }
    if plan.artifacts.is_empty() {
        field(out, "artefacts", "left open: the build decides");
    }
    let on_failure = match plan.on_failure {
        OnFailure::RollBack => "everything is undone, newest first",
        OnFailure::Hold => "everything stays as it is until somebody decides",
    };
    field(out, "on failure", on_failure);
    field(out, "takes", &plan.estimate().to_string());
    if !plan.keep_warm.is_zero() {
        let kept =
            format!("{} after the run is verified, then the replaced instances end", time(plan.keep_warm));
        field(out, "kept warm", &kept);
    }
    let no_return = plan.point_of_no_return().map_or_else(
        || "there is a way back from every step".to_owned(),
        |(stage, item)| format!("{stage}/{}: what comes before it is not undone either", item.name),
    );
    field(out, "no return", &no_return);
}

fn demands(out: &mut String, policy: &Policy) {
    if let Some(environment) = policy.proved_in {
        field(out, "tested in", &format!("{environment}, every artefact by its digest"));
    }
    if policy.scripts == Scripts::RunBefore {
        field(out, "scripts", "each has run below this environment");
    }
    for proof in &policy.proofs {
        field(out, "proves", &format!("{proof}, {}", proof.border()));
    }
    for gate in policy.measured() {
        let sign = if gate == StandardGate::Availability { "above" } else { "below" };
        field(out, "measures", &format!("{gate} {sign} {} {}", policy.limit(gate), gate.unit()));
    }
    for (gate, declared) in &policy.figures.not_applicable {
        let text = format!("{gate}: not applicable: {} ({})", declared.reason, declared.by);
        field(out, "measures not", &text);
    }
}

fn draw_stage(out: &mut String, plan: &Plan, stage: &PlannedStage) {
    let _ = writeln!(out, "\n{} {} ({})", stage.stage.number(), stage.stage, stage.estimate());
    for row in stage.rows() {
        let coverage = match row.coverage {
            Coverage::Covered(steps) => steps.iter().map(crate::Name::as_str).collect::<Vec<_>>().join(", "),
            Coverage::NotApplicable(declared) => {
                format!("not applicable: {} ({})", declared.reason, declared.by)
            }
            Coverage::Missing => "missing: nobody does it and nobody said why".to_owned(),
        };
        let _ = writeln!(out, "  {:22}{}", row.activity.activity, one_line(&coverage));
    }
    for item in &stage.items {
        let beside = stage.items.iter().filter(|other| other.group == item.group && other.name != item.name);
        let beside: Vec<&str> = beside.map(|other| other.name.as_str()).collect();
        draw_item(out, item, &beside);
        let last = plan.point_of_no_return().is_some_and(|(at, last)| at == stage.stage && last == item);
        if last {
            out.push_str("  ===== point of no return =====\n");
        }
    }
}

fn draw_item(out: &mut String, item: &PlannedItem, beside: &[&str]) {
    let kind = match &item.kind {
        ItemKind::Step => "step".to_owned(),
        ItemKind::Rollout { strategy } => format!("rollout by {strategy}"),
    };
    let _ = writeln!(out, "  - {} ({kind})", item.name);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "      {name:10}{}", one_line(value));
    };
    if !beside.is_empty() {
        line("together", &format!("with {}", beside.join(", ")));
    }
    let preview = &item.preview;
    for change in &preview.changes {
        line("changes", &format!("{}: {} -> {}", change.what, change.from, change.to));
    }
    if preview.changes.is_empty() {
        line("changes", "nothing that it can name");
    }
    for digest in &preview.deploys {
        line("deploys", &digest.to_string());
    }
    for digest in &preview.scripts {
        line("runs", &digest.to_string());
    }
    for (name, value) in &preview.stable {
        line("relies on", &format!("{name} = {value}"));
    }
    for unknown in &preview.unknowns {
        line("unknown", unknown);
    }
    for proof in &item.proves {
        line("proves", proof.as_str());
    }
    for gate in &item.measures {
        line("measures", &gate.to_string());
    }
    line("undo", &item.reversibility.to_string());
    line("takes", &preview.estimate.map_or_else(|| "unknown".to_owned(), time));
}
