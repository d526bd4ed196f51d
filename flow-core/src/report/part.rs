use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Cause;
use crate::gate::{Judgement, StandardGate};
use crate::journal::{End, Signal, Standing};
use crate::name::{Actor, Name};
use crate::plan::Declaration;
use crate::port::Weights;
use crate::rollback::Reversibility;
use crate::stage::{ActivityName, StageName};

/// How far a stage, a step or an activity came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was declared not applicable.
    NotApplicable,
    /// It is done, and stands.
    Done,
    /// The run did not come to it.
    NotReached,
    /// The plan has nobody who does it and nobody who said why.
    NotCovered,
    /// It was done, or may have been, and is undone.
    Undone,
    /// It could not be undone, and somebody answers for it.
    Resolved,
    /// It was begun and its end is not recorded.
    UnderWay,
    /// It could not be undone and still stands.
    Standing,
    /// Nobody can tell whether it is done.
    InDoubt,
    /// It failed, or was given up.
    Failed,
}

/// One of the eight stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage.
    pub stage: StageName,
    /// Its number in the standard, from 1.
    pub number: u8,
    /// How far it came: the gravest of its activities.
    pub status: Status,
    /// Its activities, in the standard's order.
    pub activities: Vec<ActivityReport>,
    /// Its steps and rollouts, in the plan's order.
    pub steps: Vec<StepReport>,
}

/// One of the 36 activities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// The activity.
    pub activity: ActivityName,
    /// How far it came: the gravest of its steps.
    pub status: Status,
    /// The steps and rollouts that cover it.
    pub steps: Vec<Name>,
    /// Why nobody does it, and who answers for that.
    pub declaration: Option<Declaration>,
    /// What was observed that shows it done.
    pub evidence: Vec<Proof>,
}

/// What a step observed for one activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The step.
    pub step: Name,
    /// One sentence.
    pub summary: String,
    /// The observed values by name; a rollout's moves stand with the rollout.
    pub observed: BTreeMap<String, Value>,
}

/// One step or rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub step: Name,
    /// The strategy, for a rollout.
    pub strategy: Option<Name>,
    /// How far it came.
    pub status: Status,
    /// How it can be undone.
    pub reversibility: Reversibility,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// How many attempts its calls had in all.
    pub attempts: u32,
    /// How its last call ended.
    pub end: Option<End>,
    /// Why it was not done.
    pub cause: Option<Cause>,
    /// The moves of a rollout, in order.
    pub moves: Vec<MoveReport>,
}

/// One move of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveReport {
    /// What it was.
    pub made: MoveMade,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended; none while it is under way.
    pub end: Option<End>,
}

/// What a move was, as far as the journal says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "move")]
pub enum MoveMade {
    /// Instances were launched and found healthy.
    Launched {
        /// Which.
        instances: Vec<Name>,
    },
    /// Weights were put in force and observed.
    Shifted {
        /// The weights.
        weights: Weights,
    },
    /// It waited.
    Baked {
        /// Until when.
        until: Option<Timestamp>,
    },
    /// The gate was asked.
    Judged {
        /// What it said.
        judgement: Judgement,
    },
    /// It waited for somebody.
    Awaited {
        /// The answer.
        signal: Option<Signal>,
    },
    /// Instances were stopped after they had drained.
    Retired {
        /// Which.
        instances: Vec<Name>,
    },
    /// A change that did not end well, so that the journal does not say what it was.
    Unknown,
}

/// One of the standard's gates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate.
    pub gate: StandardGate,
    /// Its limit, which itself no longer holds.
    pub limit: f64,
    /// The unit of limit and values.
    pub unit: String,
    /// Whether every figure keeps it. Without a figure it is not measured, and that is no pass.
    pub verdict: GateVerdict,
    /// The figures.
    pub figures: Vec<Measured>,
}

/// Whether a gate was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Every figure keeps it.
    Kept,
    /// A figure breaks it.
    Broken,
    /// There is no figure.
    NotMeasured,
}

/// One figure for a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The stage.
    pub stage: StageName,
    /// The step that measured it.
    pub step: Name,
    /// The value; none where it is no number, which keeps no gate.
    pub value: Option<f64>,
    /// Whether it keeps the gate.
    pub holds: bool,
    /// How it was measured.
    pub measured: String,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When the run stopped going forward.
    pub at: Timestamp,
    /// The stage where it stood; none after the last one.
    pub stage: Option<StageName>,
    /// The step, as far as the journal tells.
    pub step: Option<Name>,
    /// How that step's call ended.
    pub end: Option<End>,
    /// Why.
    pub cause: Cause,
}

/// Which way a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Stage by stage.
    Forward,
    /// Undoing.
    Back,
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// Why.
    pub cause: Cause,
    /// When the list was frozen.
    pub began: Timestamp,
    /// When everything on it was tried; none while it goes on.
    pub ended: Option<Timestamp>,
    /// How long it took, or has taken so far.
    pub duration_ms: u64,
    /// The frozen list, first undone first.
    pub targets: Vec<TargetReport>,
    /// What still stands.
    pub standing: Vec<Standing>,
}

/// One step or rollout on the frozen list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The stage.
    pub stage: StageName,
    /// The step.
    pub step: Name,
    /// How far its undo came.
    pub state: TargetEnd,
    /// When its undo began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// How many attempts its undo had in all.
    pub attempts: u32,
}

/// How far an undo came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TargetEnd {
    /// It is still to be undone.
    Pending,
    /// It is undone.
    Undone,
    /// It could not be undone.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Somebody answers for it.
    Resolved {
        /// Who.
        by: Option<Actor>,
        /// What shows that it is in order.
        evidence: Option<String>,
    },
}

/// Something that was declared not applicable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The stage.
    pub stage: StageName,
    /// The activity; none for the whole stage.
    pub activity: Option<ActivityName>,
    /// Why, and who answers for it.
    pub declaration: Declaration,
}

/// A notice that was added to the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// The facts by name.
    pub facts: BTreeMap<String, Value>,
}
