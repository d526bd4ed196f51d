//! What steps handed over, read part by part: one value that cannot be read must not hide the others.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::gate::StandardGate;
use crate::machine::Running;
use crate::name::Name;
use crate::plan::PlannedItem;
use crate::port::Instance;
use crate::receipt::{Evidence, MigrateFacts, VerifyFacts};
use crate::stage::{
    Activity, ActivityName, Assets, Build, Functions, Migrate, Monitoring, Prepare, Services, Stage,
    StageName, Verify,
};

/// The name under which a rollout's receipt keeps the instances that wait to be stopped.
const KEPT_WARM: &str = "kept_warm";

/// A receipt without its stage's type.
#[derive(Debug, Default)]
pub(super) struct Handed {
    pub(super) evidence: Vec<Shown>,
    pub(super) figures: Vec<Figured>,
    pub(super) migrate: Option<MigrateFacts>,
    pub(super) verify: Option<VerifyFacts>,
    pub(super) kept_warm: Option<KeptWarm>,
    /// Whether a part of it cannot be read.
    pub(super) broken: bool,
}

/// An evidence without its stage's type.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) activity: ActivityName,
    pub(super) summary: String,
    pub(super) observed: BTreeMap<String, Value>,
}

/// A figure as JSON has it: a value that is no number became null.
#[derive(Debug, Deserialize)]
pub(super) struct Figured {
    pub(super) gate: StandardGate,
    pub(super) value: Option<f64>,
    pub(super) measured: String,
}

/// The instances that a rollout replaced and that are stopped when the run is verified.
#[derive(Debug, Deserialize)]
pub(super) struct KeptWarm {
    pub(super) instances: Vec<Instance>,
    /// The move after which they are stopped: their retirement is the one after it.
    pub(super) next_unit: u32,
}

/// What a finished step or rollout handed over; none where it is not finished.
pub(super) fn handed(running: &Running, stage: StageName, item: &PlannedItem) -> Option<Handed> {
    let receipt = &running.receipt(stage, item)?.0;
    let mut handed = Handed { evidence: evidence_of(stage, receipt), ..Handed::default() };
    handed.figures = each(receipt.get("figures"));
    let facts = receipt.get("facts");
    match stage {
        StageName::Migrate => handed.migrate = facts.and_then(read),
        StageName::Verify => handed.verify = facts.and_then(read),
        _ => {}
    }
    handed.kept_warm = receipt.get("extra").and_then(|extra| extra.get(KEPT_WARM)).and_then(read);
    let count = |name| receipt.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    handed.broken = !receipt.is_object()
        || handed.evidence.len() != count("evidence")
        || handed.figures.len() != count("figures");
    Some(handed)
}

fn evidence_of(stage: StageName, receipt: &Value) -> Vec<Shown> {
    let evidence = receipt.get("evidence");
    match stage {
        StageName::Prepare => shown::<Prepare>(evidence),
        StageName::Build => shown::<Build>(evidence),
        StageName::Migrate => shown::<Migrate>(evidence),
        StageName::Assets => shown::<Assets>(evidence),
        StageName::Services => shown::<Services>(evidence),
        StageName::Functions => shown::<Functions>(evidence),
        StageName::Monitoring => shown::<Monitoring>(evidence),
        StageName::Verify => shown::<Verify>(evidence),
    }
}

fn shown<S: Stage>(evidence: Option<&Value>) -> Vec<Shown> {
    let evidence = each::<Evidence<S::Activity>>(evidence).into_iter();
    evidence
        .map(|Evidence { activity, summary, observed }| Shown {
            activity: activity.name(),
            summary,
            observed,
        })
        .collect()
}

/// The elements of a list that can be read.
fn each<T: DeserializeOwned>(list: Option<&Value>) -> Vec<T> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(read).collect()
}

pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// The names in a list of a recorded value.
pub(super) fn names(recorded: &Value, field: &str) -> Option<Vec<Name>> {
    recorded.get(field).and_then(read)
}
