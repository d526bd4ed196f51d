use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::RunId;
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::durable::Call;
use crate::error::Cause;
use crate::event::EventHub;
use crate::journal::{Record, Recorded, RunOutcome, Signal, Standing};
use crate::machine::{CallKey, State, UndoTarget};
use crate::name::{Actor, Digest, Name};
use crate::permit::Fence;
use crate::plan::Plan;
use crate::policy::Violations;
use crate::stage::StageName;

/// Makes the engine's calls durable. Flow-core's own is [`Journaled`](crate::durable::Journaled), over any
/// [`JournalStore`](crate::journal::JournalStore); an engine that owns replay, such as Restate, implements it directly.
///
/// An implementor **must** hold: a call that ended returns what it returned then, without running again; an effect begins
/// only when its intent, and everything read before it, survives a crash; a call's end is the worst of its
/// attempts, one lost in a crash counting as in doubt; and retries happen here and nowhere else.
#[async_trait]
pub trait Durable: Send + Sync {
    /// The run that this is bound to.
    fn run(&self) -> &RunId;

    /// What it can do, so that a plan can be refused early.
    fn capabilities(&self) -> Capabilities;

    /// Takes the run for this owner and says where it stands: [`State::Fresh`] for a new one. Changes nothing but ownership.
    ///
    /// # Errors
    /// [`PerformError::Incompatible`] when the run follows a plan with another fingerprint;
    /// [`PerformError::Unavailable`] while another owner holds it.
    async fn open(&self, opening: Opening) -> Result<State, PerformError>;

    /// Carries out `call`, or returns what it returned before.
    ///
    /// # Errors
    /// See [`PerformError`].
    async fn perform(&self, call: Call) -> Result<Recorded, PerformError>;

    /// Carries out a call that only reads: it needs no intent, and its result is durable before the next effect begins.
    ///
    /// # Errors
    /// See [`PerformError`].
    async fn read(&self, call: Call) -> Result<Recorded, PerformError>;

    /// Sleeps, over crashes: until `duration` after its first call and no longer than `duration` from now. A sleep that is over
    /// returns at once.
    ///
    /// # Errors
    /// [`PerformError::Cancelled`] when the run is cancelled meanwhile.
    async fn sleep(&self, key: CallKey, duration: Duration, cancel: CancelToken) -> Result<(), PerformError>;

    /// Waits for somebody's answer, over crashes.
    ///
    /// # Errors
    /// [`PerformError::Cancelled`] when the run is cancelled meanwhile.
    async fn wait(
        &self,
        key: CallKey,
        deadline: Option<Duration>,
        cancel: CancelToken,
    ) -> Result<Signal, PerformError>;

    /// Records where the run has come to. Repeating one that is recorded changes nothing.
    ///
    /// # Errors
    /// [`PerformError::Incompatible`] when it cannot follow what is recorded.
    async fn publish(&self, milestone: Milestone) -> Result<(), PerformError>;

    /// Where the run stands now.
    ///
    /// # Errors
    /// [`PerformError::Unavailable`] when the run is not open.
    async fn state(&self) -> Result<State, PerformError>;

    /// Everything that is recorded of the run, in order, all of it durable by then.
    ///
    /// # Errors
    /// [`PerformError::Unavailable`] when the run is not open or cannot be read.
    async fn history(&self) -> Result<Vec<Record>, PerformError>;

    /// Gives the run back. The journal stays.
    async fn close(&self);
}

/// What the engine brings when it opens a run.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The fingerprint of the workflow.
    pub fingerprint: Digest,
    /// What no other run may touch meanwhile.
    pub resources: Vec<Name>,
    /// The clock that every wait goes through.
    pub clock: Arc<dyn Clock>,
    /// Who watches the run.
    pub events: EventHub,
}

/// What a durable engine can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// What its fence protects from.
    pub fencing: Fencing,
    /// The longest one call may take, if there is a limit.
    pub longest_call: Option<Duration>,
    /// How long a finished run's journal is kept, if not for ever.
    pub retention: Option<Duration>,
    /// Whether what it acknowledged survives the loss of power.
    pub power_loss_safe: bool,
}

/// What a fence protects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// From nothing.
    None,
    /// From an older run.
    PerRun,
    /// From every older owner.
    PerOwner,
}

/// Where a run has come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Milestone {
    /// The run begins with this plan, approved by these.
    Started {
        /// The plan.
        plan: Box<Plan>,
        /// Who approved it.
        approvals: Vec<Actor>,
    },
    /// A rollout has what it wants.
    Concluded {
        /// The stage.
        stage: StageName,
        /// The rollout.
        step: Name,
        /// Its receipt.
        receipt: Recorded,
    },
    /// A stage is done.
    StageFinished(StageName),
    /// The run failed and waits.
    Held(Cause),
    /// The run goes on after it was held.
    Released(Actor),
    /// From here on everything is undone.
    UndoFrozen {
        /// Why.
        cause: Cause,
        /// What, first one first.
        targets: Vec<UndoTarget>,
    },
    /// A step is undone.
    Undone(StageName, Name),
    /// A step could not be undone.
    UndoFailed(StageName, Name, Cause),
    /// The run cannot go on by itself.
    Parked {
        /// What still stands.
        standing: Vec<Standing>,
        /// Why.
        cause: Cause,
    },
    /// A parked run tries again.
    Resumed(Actor),
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
    /// A notice for the report.
    Noted(BTreeMap<String, Value>),
    /// The run is over.
    Finished(RunOutcome),
}

/// Why a call did not return. The first three are about the call, the others about the engine: those never unwind.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PerformError {
    /// It failed and certainly left nothing behind.
    #[error("rejected")]
    Rejected(#[source] Cause),
    /// It may or may not stand.
    #[error("in doubt")]
    InDoubt(#[source] Cause),
    /// The run was cancelled; the call may or may not stand.
    #[error("cancelled")]
    Cancelled,
    /// A border of the policy was not passed: nothing more was done.
    #[error(transparent)]
    Violated(Box<Violations>),
    /// A later owner has taken over.
    #[error("fence {} was superseded by fence {}", held.0, current.0)]
    Superseded {
        /// The fence held.
        held: Fence,
        /// The latest fence.
        current: Fence,
    },
    /// The run follows another definition, or its journal cannot be read by this version.
    #[error("incompatible: {0}")]
    Incompatible(String),
    /// Nothing can be recorded now.
    #[error("unavailable")]
    Unavailable(#[source] Cause),
}

impl PerformError {
    /// Whether the engine must stop and hand over, without undoing anything.
    #[must_use]
    pub const fn hands_over(&self) -> bool {
        matches!(self, Self::Superseded { .. } | Self::Incompatible(_) | Self::Unavailable(_))
    }
}
