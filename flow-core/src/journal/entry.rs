use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::Cause;
use crate::machine::{CallKey, UndoTarget};
use crate::name::{Actor, Name};
use crate::permit::Fence;
use crate::plan::Plan;
use crate::stage::StageName;

/// The version of the journal's format that this library writes. It reads this one and every earlier one.
pub const FORMAT: u32 = 1;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It did what it was to do.
    Done,
    /// It failed and certainly left nothing behind.
    Rejected,
    /// It was cancelled, and may have left something behind.
    Cancelled,
    /// Nobody can tell.
    InDoubt,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::InDoubt => "in_doubt",
        })
    }
}

impl End {
    /// The worse of two attempts' ends: once in doubt, a later rejection cannot take it back; done is done.
    #[must_use]
    pub fn worst(self, later: Self) -> Self {
        match later {
            Self::Done => Self::Done,
            later => self.max(later),
        }
    }
}

/// What a call returned, in the seam's form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recorded(pub Value);

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// How it ended: the worst of its attempts.
    pub end: End,
    /// When its last attempt began, by its own clock.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What it returned, if it was done.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub recorded: Option<Recorded>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// A value that is there and null is not the same as none: an undo returns nothing, and is done all the same.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Recorded>, D::Error> {
    Recorded::deserialize(deserializer).map(Some)
}

/// Who works on a run: host, process and a random part, for people. Ownership itself is the lease.
pub type Owner = String;

/// What somebody answered to a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "signal")]
pub enum Signal {
    /// Go on.
    Approved {
        /// Who approved.
        by: Actor,
    },
    /// Do not go on.
    Refused {
        /// Who refused.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Nobody answered in time.
    TimedOut,
}

/// Something that still stands because it could not be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The stage.
    pub stage: StageName,
    /// The step.
    pub step: Name,
    /// Why it still stands.
    pub reason: String,
}

/// How a run ended for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RunOutcome {
    /// All eight stages are done.
    Completed,
    /// Everything that was done is undone.
    RolledBack,
    /// Somebody closed a parked run and answers for what still stands.
    Closed {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
}

/// One fact of a run, in the order in which it became true. The machine says which may follow which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry", deny_unknown_fields)]
pub enum Entry {
    /// The first entry: the plan that the run follows.
    Started {
        /// The format of this journal.
        format: u32,
        /// The plan, its fingerprint and its hash in it.
        plan: Box<Plan>,
        /// Who works on the run.
        owner: Owner,
        /// Who approved the plan.
        #[serde(default)]
        approvals: Vec<Actor>,
    },
    /// Another owner took the run over.
    OwnerChanged {
        /// Who works on the run now.
        owner: Owner,
        /// The fence from now on.
        fence: Fence,
    },
    /// A call that only reads returned this.
    Read {
        /// The call.
        key: CallKey,
        /// What it returned.
        recorded: Recorded,
    },
    /// An attempt of a call is about to begin.
    Intended {
        /// The call.
        key: CallKey,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// An attempt ended badly and another one follows.
    Attempted {
        /// The call.
        key: CallKey,
        /// The attempt.
        attempt: u32,
        /// How it ended.
        end: End,
        /// Why.
        cause: Cause,
    },
    /// A call ended.
    Ended {
        /// The call.
        key: CallKey,
        /// How.
        ended: Box<Ended>,
    },
    /// A durable sleep began.
    SleepBegan {
        /// The sleep.
        key: CallKey,
        /// When it is over.
        until: Timestamp,
    },
    /// A durable sleep is over.
    SleepEnded {
        /// The sleep.
        key: CallKey,
    },
    /// A durable wait for a person began.
    WaitBegan {
        /// The wait.
        key: CallKey,
        /// When it is given up.
        until: Option<Timestamp>,
    },
    /// A durable wait is over.
    Signalled {
        /// The wait.
        key: CallKey,
        /// The answer.
        signal: Signal,
    },
    /// A rollout has what it wants; this is its receipt.
    Concluded {
        /// The stage.
        stage: StageName,
        /// The rollout.
        step: Name,
        /// The receipt.
        receipt: Recorded,
    },
    /// A stage is done, or was declared not applicable.
    StageFinished {
        /// The stage.
        stage: StageName,
    },
    /// The run failed and waits, with all that it did standing.
    Held {
        /// Why.
        cause: Cause,
    },
    /// The run goes on after it was held.
    Released {
        /// Who said so.
        by: Actor,
    },
    /// From here on everything is undone, in this order.
    UndoFrozen {
        /// Why.
        cause: Cause,
        /// What is undone, first one first.
        targets: Vec<UndoTarget>,
    },
    /// A step or a rollout is undone.
    Undone {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
    },
    /// A step or a rollout could not be undone; the other undos go on.
    UndoFailed {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
        /// Why.
        cause: Cause,
    },
    /// The run cannot go on by itself.
    Parked {
        /// What still stands.
        standing: Vec<Standing>,
        /// Why.
        cause: Cause,
    },
    /// A parked run tries again what it could not do.
    Resumed {
        /// Who said so.
        by: Actor,
    },
    /// Somebody answers for a step that could not be undone.
    Resolved {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
        /// Who.
        by: Actor,
        /// What shows that it is in order.
        evidence: String,
    },
    /// A fact that a caller adds: a notice for the report.
    Noted {
        /// The facts by name.
        facts: BTreeMap<String, Value>,
    },
    /// The run is over.
    Finished {
        /// How.
        outcome: RunOutcome,
    },
}

impl fmt::Display for Entry {
    /// One word for people and for tests: the kind, what it is about and, for a call's end, how it ended, such as
    /// `ended:Migrate/apply-migrations/do/0=done`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { .. } => f.write_str("started"),
            Self::OwnerChanged { .. } => f.write_str("owner_changed"),
            Self::Read { key, .. } => write!(f, "read:{key}"),
            Self::Intended { key, .. } => write!(f, "intended:{key}"),
            Self::Attempted { key, attempt, .. } => write!(f, "attempted:{key}#{attempt}"),
            Self::Ended { key, ended } => write!(f, "ended:{key}={}", ended.end),
            Self::SleepBegan { key, .. } => write!(f, "sleep_began:{key}"),
            Self::SleepEnded { key } => write!(f, "sleep_ended:{key}"),
            Self::WaitBegan { key, .. } => write!(f, "wait_began:{key}"),
            Self::Signalled { key, .. } => write!(f, "signalled:{key}"),
            Self::Concluded { stage, step, .. } => write!(f, "concluded:{stage}/{step}"),
            Self::StageFinished { stage } => write!(f, "stage_finished:{stage}"),
            Self::Held { .. } => f.write_str("held"),
            Self::Released { .. } => f.write_str("released"),
            Self::UndoFrozen { .. } => f.write_str("undo_frozen"),
            Self::Undone { stage, step } => write!(f, "undone:{stage}/{step}"),
            Self::UndoFailed { stage, step, .. } => write!(f, "undo_failed:{stage}/{step}"),
            Self::Parked { .. } => f.write_str("parked"),
            Self::Resumed { .. } => f.write_str("resumed"),
            Self::Resolved { stage, step, .. } => write!(f, "resolved:{stage}/{step}"),
            Self::Noted { .. } => f.write_str("noted"),
            Self::Finished { .. } => f.write_str("finished"),
        }
    }
}
