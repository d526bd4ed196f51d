use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::gate::Judgement;
use crate::journal::{End, Standing};
use crate::machine::CallKey;
use crate::name::{Actor, Name};
use crate::permit::Fence;
use crate::report::Direction;
use crate::stage::StageName;

/// Something that did not go as planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: AnomalyKind,
    /// How it was handled, in the order of time; empty where the journal ends with it.
    pub handled: Vec<Handling>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AnomalyKind {
    /// An attempt of a call ended badly and another one followed.
    AttemptFailed {
        /// The call.
        call: CallKey,
        /// The attempt.
        attempt: u32,
        /// How it ended.
        end: End,
        /// Why.
        cause: Cause,
    },
    /// A call ended badly.
    CallFailed {
        /// The call.
        call: CallKey,
        /// How it ended: the worst of its attempts.
        end: End,
        /// Why.
        cause: Cause,
    },
    /// The owner was gone and another one took the run over.
    TakenOver {
        /// Who worked on it before.
        from: String,
        /// Who works on it now.
        to: String,
        /// The fence from then on.
        fence: Fence,
        /// How long nothing had been recorded.
        gap_ms: u64,
        /// Which way the run went.
        direction: Direction,
        /// The calls that were under way: nobody can tell how their attempts ended.
        lost: Vec<CallKey>,
    },
    /// A gate did not pass.
    NotPassed {
        /// The stage.
        stage: StageName,
        /// The rollout.
        step: Name,
        /// What the gate said.
        judgement: Judgement,
    },
    /// Somebody refused, or nobody answered in time.
    NotApproved {
        /// The wait.
        call: CallKey,
        /// Who refused; none where nobody answered.
        by: Option<Actor>,
        /// Why.
        reason: Option<String>,
    },
    /// The run was cancelled or given up.
    Cancelled {
        /// By whom or why.
        cause: Cause,
    },
    /// The run was held.
    Held {
        /// Why.
        cause: Cause,
    },
    /// Something could not be undone.
    UndoFailed {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
        /// Why.
        cause: Cause,
    },
    /// The run was parked.
    Parked {
        /// Why.
        cause: Cause,
        /// What stood then.
        standing: Vec<Standing>,
    },
    /// A receipt cannot be read, so what it says is missing here.
    ReceiptUnreadable {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
    },
}

/// How an anomaly was handled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "handling")]
pub enum Handling {
    /// It was tried again.
    TriedAgain {
        /// How many attempts the call had in all.
        attempts: u32,
        /// How the call ended; none while it is under way.
        end: Option<End>,
    },
    /// It certainly left nothing behind.
    NothingLeft,
    /// The run turned back.
    TurnedBack,
    /// The step was undone.
    Undone,
    /// The step has nothing to undo.
    NothingToUndo,
    /// It still stands.
    Stands,
    /// The new owner went on.
    WentOn,
    /// The gate was asked again and passed.
    PassedLater,
    /// The rollout was given up.
    GivenUp,
    /// The run was let go on.
    Released {
        /// By whom.
        by: Actor,
    },
    /// What could not be done was tried again.
    Resumed {
        /// Who said so.
        by: Actor,
    },
    /// Somebody answers for it.
    Resolved {
        /// The step.
        step: Name,
        /// Who.
        by: Actor,
        /// What shows that it is in order.
        evidence: String,
    },
    /// The run was closed.
    Closed {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
    },
}

/// Something that somebody decided while the run was under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    #[serde(flatten)]
    pub kind: DecisionKind,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum DecisionKind {
    /// A rollout may go on.
    Approved {
        /// The wait.
        call: CallKey,
    },
    /// A rollout may not go on.
    Refused {
        /// The wait.
        call: CallKey,
        /// Why.
        reason: String,
    },
    /// A held run goes on.
    Released,
    /// A parked run tries again.
    Resumed,
    /// A step that could not be undone is in order.
    Resolved {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
        /// What shows it.
        evidence: String,
    },
    /// The run is over as it is.
    Closed {
        /// Why.
        reason: String,
    },
}
