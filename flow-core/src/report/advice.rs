use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Cause, ErrorKind};
use crate::gate::{StandardGate, Verdict};
use crate::journal::Standing;
use crate::machine::CallKey;
use crate::name::{Digest, Name};
use crate::report::{Declared, Direction};
use crate::stage::StageName;

/// Something that should be done or watched from here on, derived from facts of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "suggestion")]
pub enum Suggestion {
    /// The run is not over: it must be taken up again.
    CarryOn {
        /// Which way it goes.
        direction: Direction,
    },
    /// The run is held: somebody must decide.
    Decide,
    /// Something stands that must be put in order.
    Settle {
        /// What.
        standing: Standing,
    },
    /// Replaced instances still run.
    KeptWarm {
        /// The stage.
        stage: StageName,
        /// The rollout.
        step: Name,
        /// The instances.
        instances: Vec<Name>,
    },
    /// The replaced instances are stopped: going back now is another deployment.
    WayBackClosed {
        /// The rollouts.
        steps: Vec<Name>,
    },
    /// A step without a way back is done.
    Irreversible {
        /// The step.
        step: Name,
        /// Why it has none.
        reason: String,
    },
    /// A backup was made.
    Backup {
        /// The step that made it.
        step: Name,
        /// Where it stands.
        path: PathBuf,
        /// The digest of its content.
        digest: Digest,
    },
    /// The figures break a gate.
    GateBroken {
        /// The gate.
        gate: StandardGate,
        /// The values that break it; none for one that is no number.
        values: Vec<Option<f64>>,
    },
    /// Gates of the standard have no figure.
    MeasureGates {
        /// Which.
        gates: Vec<StandardGate>,
    },
    /// A call needed several attempts.
    Retries {
        /// The call.
        call: CallKey,
        /// How many attempts it had.
        attempts: u32,
        /// Why the last bad one ended.
        cause: Cause,
    },
    /// Owners of the run were lost.
    OwnersLost {
        /// How often.
        times: u32,
        /// The longest time in which nobody worked on the run.
        longest_ms: u64,
    },
    /// A gate had no answer.
    SilentGate {
        /// The stage.
        stage: StageName,
        /// The rollout.
        step: Name,
        /// What kind of silence.
        verdict: Verdict,
        /// How often.
        times: u32,
    },
    /// Something was declared not applicable: see whether that still holds before the next release.
    Revisit {
        /// What.
        declared: Declared,
    },
    /// Where the deployment's documents stand.
    Documents {
        /// The paths.
        paths: Vec<PathBuf>,
    },
    /// A record cannot follow the ones before it: find out who wrote it.
    Investigate {
        /// Its number.
        seq: u64,
    },
}

/// What a failure teaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lessons {
    /// The standard's response to a failed deployment, and how far it came.
    pub response: Vec<EmergencyStep>,
    /// What to check before the release, or the one that mends it, is deployed again.
    pub checks: Vec<Check>,
}

/// One of the five steps of the standard's response to a failed deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyStep {
    /// Which.
    pub step: Emergency,
    /// How far it came.
    pub state: EmergencyState,
    /// When it was done.
    pub at: Option<Timestamp>,
}

/// The standard's response to a failed deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emergency {
    /// Stop the deployment at once.
    Stop,
    /// Roll back.
    RollBack,
    /// Find the cause.
    RootCause,
    /// Mend it and deploy again.
    Redeploy,
    /// Write down the lessons.
    Lessons,
}

/// How far a step of the response came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyState {
    /// It is done.
    Done,
    /// A part of it is done.
    Partly,
    /// It waits for somebody.
    Open,
    /// There is nothing to do for it.
    NotNeeded,
}

/// Something to check before a failed release is deployed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "check")]
pub enum Check {
    /// That the cause is gone: what to look at depends on its kind.
    CauseGone {
        /// The kind.
        kind: ErrorKind,
    },
    /// That a call whose end is in doubt left nothing that its undo missed.
    InDoubt {
        /// The call.
        call: CallKey,
    },
    /// That what still stands is in order.
    Standing {
        /// What.
        standing: Standing,
    },
    /// That the stages which this run never finished work: it says nothing about them.
    NeverReached {
        /// The stages.
        stages: Vec<StageName>,
    },
    /// That the new plan is approved: the approvals of this one are bound to its hash.
    PlanAgain {
        /// The hash of this plan.
        plan: Digest,
    },
}
