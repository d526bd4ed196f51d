//! What the steps of one function share: its state, captured sealed and restored whole.

use std::sync::Arc;

use serde_json::json;

use crate::error::StepError;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{FunctionPlatform, FunctionState};
use crate::rollback::Captured;

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

    pub(super) async fn restore(&self, permit: &Permit, before: &Captured) -> Result<(), StepError> {
        let before: FunctionState = before.get_sealed()?;
        self.platform.restore(permit, &self.function, &before).await?;
        if self.state_after().await? == before { Ok(()) } else { Err(self.differs("what it was before")) }
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

/// The way back of a step of one function: its whole state is restored.
macro_rules! restores_function {
    ($step:ident) => {
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
                _cx: &$crate::StepContext<$crate::stage::Functions>,
                permit: &$crate::Permit,
                before: &$crate::Captured,
                _outcome: &$crate::Outcome<$crate::stage::Functions>,
            ) -> Result<(), $crate::StepError> {
                self.target.restore(permit, before).await
            }
        }
    };
}

pub(super) use restores_function;
