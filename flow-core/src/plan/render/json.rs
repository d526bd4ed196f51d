use serde_json::{Value, json};

use crate::plan::{Coverage, Estimate, PLAN_FORMAT, Plan, PlannedRow};
use crate::stage::StageName;

impl Plan {
    /// The plan as JSON, for machines and for approval elsewhere: `format`, the `plan` itself, and beside it what follows from
    /// it, all 36 `rows`, the `estimate` in whole and by stage, the `point_of_no_return`.
    ///
    /// [`from_json`](Self::from_json) reads it back. Keys may be added within one format; none changes its meaning.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows().iter().map(row).collect();
        let stages: Vec<Value> = self.stages.iter().map(|stage| estimate(stage.estimate())).collect();
        let no_return = self.point_of_no_return().map(|(stage, item)| place(stage, item.name.as_str()));
        json!({
            "format": PLAN_FORMAT,
            "plan": self,
            "rows": rows,
            "estimate": { "whole": estimate(self.estimate()), "stages": stages },
            "point_of_no_return": no_return,
        })
    }
}

fn place(stage: StageName, step: &str) -> Value {
    json!({ "stage": stage, "step": step })
}

fn estimate(estimate: Estimate) -> Value {
    let ms = u64::try_from(estimate.known.as_millis()).unwrap_or(u64::MAX);
    json!({ "known_ms": ms, "unknown_steps": estimate.unknown, "steps": estimate.steps })
}

fn row(row: &PlannedRow) -> Value {
    let activity = row.activity.to_string();
    match &row.coverage {
        Coverage::Covered(steps) => json!({ "activity": activity, "covered_by": steps }),
        Coverage::NotApplicable(declared) => json!({ "activity": activity, "not_applicable": declared }),
        Coverage::Missing => json!({ "activity": activity, "missing": true }),
    }
}
