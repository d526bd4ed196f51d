//! The way back of a step: declared by type, captured before the step runs.

use std::fmt;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::StepContext;
use crate::error::{Cause, ErrorKind, StepError};
use crate::permit::Permit;
use crate::receipt::Receipt;
use crate::stage::Stage;

/// The way back of a step of stage `S`. A supertrait of [`Step`](crate::Step): it cannot be forgotten, and it has no
/// default that does nothing.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a step of stage `{S}` without a way back",
    label = "expected an `impl Rollback<{S}>`",
    note = "a step with nothing to undo says so with `Reversibility::NothingToUndo`"
)]
pub trait Rollback<S: Stage>: Send + Sync + 'static {
    /// Says, before anything runs, how this step is undone. Shown in the plan.
    fn reversibility(&self) -> Reversibility;

    /// Reads the state that undoing will need: the previous configuration, weights, version, backup.
    ///
    /// Called once in a run, before [`run`](crate::Step::run). The result is durable before `run` begins and is used
    /// again after a crash or on another attempt, so a half-changed world is never captured. It must change nothing;
    /// without a [`Permit`] it could not.
    ///
    /// # Errors
    /// Any kind: the step then does not run.
    async fn capture(&self, cx: &StepContext<S>) -> Result<Captured, StepError>;

    /// Brings the world back to what was captured.
    ///
    /// Must be safe to repeat, and right when `run` died half-way: `outcome` says whether it finished. It gets a fresh
    /// cancel token and its own deadline; a cancel of the run never interrupts it.
    ///
    /// # Errors
    /// Retryable kinds are retried. After that the run goes on with the other undos and then parks, naming this one.
    async fn roll_back(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
        outcome: &Outcome<S>,
    ) -> Result<(), StepError>;
}

/// How a step can be undone, known before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reversibility {
    /// The captured state is restored exactly.
    Reversible,
    /// The effect is made up for, but the world is not exactly as before.
    Compensate {
        /// How.
        how: String,
    },
    /// There is no way back: undo walks back to this step and stops. The plan calls it the point of no return, and
    /// it must be accepted by name.
    Irreversible {
        /// Why.
        reason: String,
    },
    /// The step changes nothing that stays.
    NothingToUndo,
}

impl fmt::Display for Reversibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reversible => f.write_str("restored exactly"),
            Self::Compensate { how } => write!(f, "compensated: {how}"),
            Self::Irreversible { reason } => write!(f, "irreversible: {reason}"),
            Self::NothingToUndo => f.write_str("nothing to undo"),
        }
    }
}

/// What [`Rollback::capture`] read, in the journal's form.
///
/// A sealed part, for state that may hold secrets, goes to the [`Vault`](crate::port::Vault); the journal gets only
/// its reference.
///
/// ```
/// use flow_core::Captured;
///
/// let captured = Captured::of(&("blue", 100))?;
/// assert_eq!(captured.get::<(String, u8)>()?, ("blue".to_owned(), 100));
/// # Ok::<(), flow_core::StepError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Captured {
    pub(crate) open: Value,
    pub(crate) sealed: Option<Value>,
}

impl Captured {
    /// Captures nothing: for a step with [nothing to undo](Reversibility::NothingToUndo).
    #[must_use]
    pub const fn nothing() -> Self {
        Self { open: Value::Null, sealed: None }
    }

    /// Captures `state`, readable in the journal. Never a secret: see [`sealed`](Self::sealed).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `state` has no JSON form.
    pub fn of(state: &impl Serialize) -> Result<Self, StepError> {
        Ok(Self { open: to_json(state)?, sealed: None })
    }

    /// Adds state that may hold secrets; it reaches the vault and never the journal.
    ///
    /// The step must declare it with [`Step::seals`](crate::Step::seals), so that a plan without a vault is refused.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `state` has no JSON form.
    pub fn sealed(mut self, state: &impl Serialize) -> Result<Self, StepError> {
        self.sealed = Some(to_json(state)?);
        Ok(self)
    }

    /// Reads the captured state.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is of another type.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        from_json(&self.open)
    }

    /// Reads the sealed part.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without one, [`ErrorKind::Invalid`] when it is of another type.
    pub fn get_sealed<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        let missing = || StepError::new(ErrorKind::NotFound, "nothing was sealed");
        from_json(self.sealed.as_ref().ok_or_else(missing)?)
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("open", &self.open).field("sealed", &self.sealed.is_some()).finish()
    }
}

fn to_json(state: &impl Serialize) -> Result<Value, StepError> {
    let refuse =
        |error| StepError::new(ErrorKind::Invalid, "the captured state has no JSON form").because(error);
    serde_json::to_value(state).map_err(refuse)
}

fn from_json<T: DeserializeOwned>(state: &Value) -> Result<T, StepError> {
    let refuse =
        |error| StepError::new(ErrorKind::Invalid, "the captured state is of another type").because(error);
    T::deserialize(state).map_err(refuse)
}

/// What [`Rollback::roll_back`] is told of how `run` ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<S: Stage> {
    /// It finished and returned this.
    Finished(Receipt<S>),
    /// Nobody can tell: it failed half-way, was cancelled, or its process died.
    InDoubt(Option<Cause>),
}
