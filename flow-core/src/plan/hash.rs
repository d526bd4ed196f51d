use serde::Serialize;
use serde_json::{Value, json};

use crate::name::Digest;
use crate::plan::{Plan, PlannedItem};

/// The digest of what a run is defined as: names, order, groups, coverage, reversibility and parameters of its items.
///
/// A resume under another fingerprint is refused. Previews, times and people are no part of it.
#[must_use]
pub fn fingerprint(plan: &Plan) -> Digest {
    Digest::of(canonical(&definition(plan)).as_bytes())
}

/// The digest of the fingerprint, of what the previews promise (changes, stable facts, unknowns, what is deployed and which
/// scripts run), of what each step will prove and measure, of the policy and of who starts the run; never a time, a process
/// id or an estimate. Approvals bind to it.
#[must_use]
pub fn plan_hash(plan: &Plan) -> Digest {
    let previews: Vec<Value> = plan
        .items()
        .map(|(stage, item)| {
            json!([stage, item.name, item.preview.changes, item.preview.stable, item.preview.unknowns])
        })
        .collect();
    let mut approved = json!({ "fingerprint": fingerprint(plan), "previews": previews, "initiator": plan.initiator, "approvals": plan.approvals });
    // Parts that older plans do not have: without them the hash is the one that it always was.
    let promises: Vec<Value> = plan.items().filter_map(|(_, item)| promise(item)).collect();
    if let (Some(approved), false) = (approved.as_object_mut(), promises.is_empty()) {
        approved.insert("promises".to_owned(), json!(promises));
    }
    if let (Some(approved), Some(policy)) = (approved.as_object_mut(), &plan.policy) {
        approved.insert("policy".to_owned(), json!(policy));
    }
    Digest::of(canonical(&approved).as_bytes())
}

/// What an item deploys, runs, proves and measures, if anything.
fn promise(item: &PlannedItem) -> Option<Value> {
    let PlannedItem { name, proves, measures, preview, .. } = item;
    let (deploys, scripts) = (&preview.deploys, &preview.scripts);
    let any = !(deploys.is_empty() && scripts.is_empty() && proves.is_empty() && measures.is_empty());
    any.then(|| json!([name, deploys, scripts, proves, measures]))
}

fn definition(plan: &Plan) -> Value {
    let item = |item: &PlannedItem| {
        json!([
            item.name,
            item.kind,
            item.group,
            item.covers,
            item.reversibility,
            item.definition,
            item.resources
        ])
    };
    let stages: Vec<Value> = plan
        .stages
        .iter()
        .map(|stage| {
            let items: Vec<Value> = stage.items.iter().map(item).collect();
            json!([stage.stage, stage.not_applicable, stage.without, items])
        })
        .collect();
    json!({
        "application": plan.application,
        "environment": plan.environment,
        "release": plan.release,
        "artifacts": plan.artifacts,
        "on_failure": plan.on_failure,
        "keep_warm": plan.keep_warm,
        "stages": stages,
    })
}

/// JSON with sorted keys and without white space: `serde_json`'s maps are sorted unless a feature says otherwise, so
/// they are sorted here again, whatever features another crate of the program turns on.
fn canonical(value: &impl Serialize) -> String {
    fn sort(value: Value) -> Value {
        match value {
            Value::Array(values) => Value::Array(values.into_iter().map(sort).collect()),
            Value::Object(map) => {
                let mut entries: Vec<(String, Value)> = map.into_iter().collect();
                entries.sort_by(|left, right| left.0.cmp(&right.0));
                Value::Object(entries.into_iter().map(|(key, value)| (key, sort(value))).collect())
            }
            other => other,
        }
    }
    serde_json::to_value(value).map(sort).unwrap_or_default().to_string()
}
