//! How the attempts of a call end, and when there is another one.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::durable::{Call, PerformError};
use crate::error::{Cause, ErrorKind, StepError};
use crate::journal::{End, Ended, Recorded};

/// How long to wait before each further attempt of `call`, while there is to be one.
pub(super) fn delays(call: &Call) -> backon::ExponentialBackoff {
    let retries = usize::try_from(call.options.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let builder = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100));
    builder.with_max_delay(Duration::from_secs(10)).with_max_times(retries).with_jitter().build()
}

/// How an attempt that failed with `error` ended.
pub(super) fn end_of(error: &StepError) -> End {
    match error.kind() {
        ErrorKind::Cancelled => End::Cancelled,
        kind if kind.is_rejection() => End::Rejected,
        _ => End::InDoubt,
    }
}

/// What a call that ended so gives its caller.
pub(super) fn settled(ended: Ended) -> Result<Recorded, PerformError> {
    let cause = ended.cause.unwrap_or_else(|| Cause::new(ErrorKind::Unknown, "the journal says no more"));
    match ended.end {
        End::Done => Ok(ended.recorded.unwrap_or_default()),
        End::Rejected => Err(PerformError::Rejected(cause)),
        End::Cancelled => Err(PerformError::Cancelled),
        End::InDoubt => Err(PerformError::InDoubt(cause)),
    }
}
