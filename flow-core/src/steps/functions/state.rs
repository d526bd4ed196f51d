//! What the steps of one function share: its state, captured sealed; each step restores what it changed of it.

use std::sync::Arc;

use serde_json::json;

use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{FunctionPlatform, FunctionState};
use crate::rollback::Captured;
use crate::stage::{Activity, Functions, FunctionsActivity, StageName};

/// What a step changes of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Its code, and that it exists.
    Whole,
    Triggers,
    Variables,
    Live,
}

/// One function on its platform.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) platform: Arc<dyn FunctionPlatform>,
    pub(super) function: Name,
}

impl Target {
    pub(super) async fn state(&self) -> Result<FunctionState, StepError> {
        self.platform.state(&self.function).await
    }

    /// The state after a change began: not reading it leaves open whether the change stands.
    pub(super) async fn state_after(&self) -> Result<FunctionState, StepError> {
        self.state().await.map_err(StepError::after_effect)
    }

    /// The whole state, sealed for its variables; what is no secret stays readable.
    pub(super) async fn capture(&self) -> Result<Captured, StepError> {
        let state = self.state().await?;
        let readable = json!({ "function": self.function, "digest": state.digest, "live": state.live });
        Captured::of(&readable)?.sealed(&state)
    }

    /// Brings back what `part` takes from the captured state, and leaves the rest of the function as it is now: the undo of
    /// one step may be tried again after those of the others, and must not bring back what they have taken away.
    pub(super) async fn restore(
        &self,
        cx: &StepContext<Functions>,
        permit: &Permit,
        before: &Captured,
        part: Part,
    ) -> Result<(), StepError> {
        let before: FunctionState = before.get_sealed()?;
        let now = self.state().await?;
        let gone = now == FunctionState::default();
        let wanted = match part {
            Part::Whole => before,
            // The step that made the function is undone already, and everything with it.
            _ if gone && (before == now || self.is_made_by(cx)) => return Ok(()),
            _ if gone => {
                return Err(StepError::new(
                    ErrorKind::NotFound,
                    "the function is gone, and no step of the plan made it",
                )
                .fact("function", &self.function));
            }
            Part::Triggers => FunctionState { triggers: before.triggers, ..now },
            Part::Variables => FunctionState { variables: before.variables, ..now },
            Part::Live => FunctionState { live: before.live, ..now },
        };
        self.platform.restore(permit, &self.function, &wanted).await?;
        if self.state_after().await? == wanted { Ok(()) } else { Err(self.differs("what it was before")) }
    }

    /// Whether a step of the plan gives the function its code: the undo of that one says whether it exists.
    fn is_made_by(&self, cx: &StepContext<Functions>) -> bool {
        let (code, own) = (FunctionsActivity::Code.name(), self.resource());
        let planned = cx.plan().and_then(|plan| plan.stage(StageName::Functions));
        planned.is_some_and(|stage| {
            stage.items.iter().any(|item| item.covers.contains(&code) && item.resources.contains(&own))
        })
    }

    pub(super) fn differs(&self, from: &'static str) -> StepError {
        StepError::in_doubt("the function is not as it must be")
            .fact("function", &self.function)
            .fact("differs from", from)
    }

    /// The function, as a resource that no other run may touch meanwhile.
    pub(super) fn resource(&self) -> Name {
        crate::steps::heading::joined(&self.function, "function")
    }
}

/// The way back of a step of one function: the part that it changed is restored.
macro_rules! restores_function {
    ($step:ident, $part:ident) => {
        #[async_trait::async_trait]
        impl $crate::Rollback<$crate::stage::Functions> for $step {
            fn reversibility(&self) -> $crate::Reversibility {
                $crate::Reversibility::Reversible
            }

            async fn capture(
                &self,
                _cx: &$crate::StepContext<$crate::stage::Functions>,
            ) -> Result<$crate::Captured, $crate::StepError> {
                self.target.capture().await
            }

            async fn roll_back(
                &self,
                cx: &$crate::StepContext<$crate::stage::Functions>,
                permit: &$crate::Permit,
                before: &$crate::Captured,
                _outcome: &$crate::Outcome<$crate::stage::Functions>,
            ) -> Result<(), $crate::StepError> {
                self.target.restore(cx, permit, before, $crate::steps::functions::state::Part::$part).await
            }
        }
    };
}

pub(super) use restores_function;
