use std::sync::Arc;

use flow_core::stage::Stage;
use flow_core::{CancelToken, Fence, Permit, StepContext, SystemClock};

/// A permit for a test of an adapter or a step: the first attempt of one call.
#[must_use]
pub fn permit() -> Permit {
    permit_under("test", Fence(1), 1)
}

/// A permit under a given key and fence, for a given attempt.
#[must_use]
pub fn permit_under(idempotency_key: &str, fence: Fence, attempt: u32) -> Permit {
    Permit::for_tests(idempotency_key, fence, attempt, CancelToken::new())
}

/// A context for a test of a step, on the machine's clock.
#[must_use]
pub fn context<S: Stage>() -> StepContext<S> {
    StepContext::for_tests(Arc::new(SystemClock::new()))
}
