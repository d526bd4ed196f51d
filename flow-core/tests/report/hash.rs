//! What a plan's digests cover, and that nothing of it can be changed on its way.

use std::time::Duration;

use flow_core::gate::StandardGate;
use flow_core::plan::{
    ItemKind, OnFailure, Plan, PlannedItem, Tampered, TravelError, fingerprint, plan_hash,
};
use flow_core::policy::{Policy, Proof};
use flow_core::stage::{Activity, PrepareActivity};
use flow_core::{Digest, Environment, Reversibility, name};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::plan::{actor, shop};
use crate::runs::plainly;

/// A change of one item, by what it changes.
type Change = (&'static str, fn(&mut PlannedItem));

/// What approvals bind to.
const COVERED: &[Change] = &[
    ("name", |item| item.name = name!("other")),
    ("kind", |item| item.kind = ItemKind::Rollout { strategy: name!("rolling") }),
    ("group", |item| item.group += 7),
    ("covers", |item| item.covers.push(PrepareActivity::Scope.name())),
    ("reversibility", |item| item.reversibility = Reversibility::Compensate { how: "by hand".to_owned() }),
    ("resources", |item| item.resources.push(name!("zone"))),
    ("definition", |item| item.definition = json!({ "size": 3 })),
    ("change", |item| item.preview = item.preview.clone().change("a", "b", "c")),
    ("stable", |item| item.preview = item.preview.clone().stable("weights", "v1=100")),
    ("unknown", |item| item.preview = item.preview.clone().unknown("the time")),
    ("deploys", |item| item.preview = item.preview.clone().deploys(Digest::of(b"x"))),
    ("script", |item| item.preview = item.preview.clone().script(Digest::of(b"x"))),
    ("proves", |item| item.proves.push(Proof::Permissions)),
    ("measures", |item| item.measures.push(StandardGate::Downtime)),
];

/// What they do not: times and estimates.
const FREE: &[Change] = &[
    ("estimate", |item| item.preview = item.preview.clone().estimate(Duration::from_secs(5))),
    ("deadline", |item| item.deadline += Duration::from_secs(5)),
];

fn changed(at: Index, change: &Change) -> Plan {
    let mut plan = shop(&plainly);
    let stages: Vec<usize> =
        (0..plan.stages.len()).filter(|stage| !plan.stages[*stage].items.is_empty()).collect();
    let items = &mut plan.stages[*at.get(&stages)].items;
    let item = at.index(items.len());
    (change.1)(&mut items[item]);
    plan
}

/// The same JSON with the keys of every object in another order.
fn turned(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields = map.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), turned(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(turned).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_what_was_approved_changes_the_hash(at in any::<Index>(), which in 0..COVERED.len()) {
        let plan = changed(at, &COVERED[which]);
        prop_assert_ne!(plan_hash(&plan), plan.hash, "{}", COVERED[which].0);
        prop_assert!(plan.verify().is_err());
    }

    #[test]
    fn times_and_estimates_change_nothing(at in any::<Index>(), which in 0..FREE.len()) {
        let plan = changed(at, &FREE[which]);
        prop_assert_eq!(plan_hash(&plan), plan.hash, "{}", FREE[which].0);
        prop_assert_eq!(fingerprint(&plan), plan.fingerprint);
        prop_assert_eq!(plan.verify(), Ok(()));
    }

    #[test]
    fn the_order_of_two_groups_is_covered(at in any::<Index>()) {
        let mut plan = shop(&plainly);
        let stages: Vec<usize> =
            (0..plan.stages.len()).filter(|stage| plan.stages[*stage].items.len() > 1).collect();
        plan.stages[*at.get(&stages)].items.swap(0, 1);
        prop_assert_ne!(plan_hash(&plan), plan.hash);
    }

    #[test]
    fn one_character_changed_on_the_way_is_refused(at in any::<Index>(), digit in "[0-9a-z]") {
        let text = shop(&plainly).to_json().to_string();
        let places: Vec<usize> = text.char_indices().filter(|(_, char)| char.is_ascii_alphanumeric()).map(|(at, _)| at).collect();
        let at = *at.get(&places);
        prop_assume!(text[at..=at] != digit);
        let mut edited = text.clone();
        edited.replace_range(at..=at, &digit);
        match Plan::from_json(&edited) {
            Err(_) => {}
            // Times are no part of what is approved, and neither is a deadline. They change nothing that a run does.
            Ok(plan) => {
                let mut timeless = plan.clone();
                let whole = shop(&plainly);
                for (stage, original) in timeless.stages.iter_mut().zip(&whole.stages) {
                    for (item, original) in stage.items.iter_mut().zip(&original.items) {
                        item.deadline = original.deadline;
                    }
                }
                prop_assert_eq!(timeless, whole, "{}", edited);
            }
        }
    }
}

#[test]
fn what_the_whole_plan_says_is_covered() {
    type Edit = (&'static str, fn(&mut Plan));
    let changes: [Edit; 10] = [
        ("application", |plan| plan.application = name!("till")),
        ("environment", |plan| plan.environment = Environment::Staging),
        ("release", |plan| plan.release = name!("1.1.1")),
        ("artifacts", |plan| plan.artifacts.clear()),
        ("initiator", |plan| plan.initiator = actor("mallory")),
        ("on_failure", |plan| plan.on_failure = OnFailure::Hold),
        ("keep_warm", |plan| plan.keep_warm = Duration::ZERO),
        ("approvals", |plan| plan.approvals = 0),
        ("policy", |plan| plan.policy = Some(Box::new(Policy::standard(Environment::Testing)))),
        ("declaration", |plan| plan.stages[1].without[0].1.reason = "never mind".to_owned()),
    ];
    for (what, change) in changes {
        let mut plan = shop(&plainly);
        change(&mut plan);
        assert_ne!(plan_hash(&plan), plan.hash, "{what}");
    }
}

#[test]
fn the_order_of_keys_changes_nothing() {
    let mut plan = shop(&plainly);
    plan.stages[0].items[0].definition = json!({ "b": { "d": 1, "c": 2 }, "a": [1, { "z": 0, "y": 0 }] });
    let plan = crate::plan::sealed(plan);
    let read = Plan::from_json(&turned(&plan.to_json())).unwrap();
    assert_eq!((read.hash, read.fingerprint), (plan.hash, plan.fingerprint));
    assert_eq!(plan_hash(&read), plan.hash);
}

#[test]
fn a_text_that_is_no_plan_says_what_is_wrong_with_it() {
    let whole = shop(&plainly).to_json();
    let with = |pointer: &str, value: Value| {
        let mut edited = whole.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        Plan::from_json(&edited.to_string()).unwrap_err()
    };
    assert_eq!(with("/format", json!(2)), TravelError::Format { found: 2 });
    assert!(matches!(with("/format", json!("1")), TravelError::Unreadable(_)));
    assert!(matches!(with("/plan", json!([])), TravelError::Unreadable(_)));
    assert!(matches!(with("/plan/environment", json!("moon")), TravelError::Unreadable(_)));
    let stages = with("/plan/stages", json!([]));
    assert_eq!(stages, TravelError::Tampered(Tampered::Stages));
    let approvals = with("/plan/approvals", json!(0));
    assert!(matches!(approvals, TravelError::Tampered(Tampered::Hash { .. })), "{approvals}");
    let release = with("/plan/release", json!("6.6.6"));
    assert!(matches!(release, TravelError::Tampered(Tampered::Fingerprint { .. })), "{release}");
    let rows = with("/rows/0", json!({ "activity": "Prepare.Scope", "covered_by": ["nobody"] }));
    assert_eq!(rows, TravelError::Tampered(Tampered::Derived("rows".to_owned())));
    let long = " ".repeat((16 << 20) + 1);
    assert!(matches!(Plan::from_json(&long), Err(TravelError::TooLarge { .. })));
    assert!(Plan::from_json("{").is_err() && Plan::from_json("").is_err());
}
