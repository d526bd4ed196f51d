use flow_core::Timestamp;

use crate::patience::Subject;
use crate::transport::{Broken, Incoming, skew};
use crate::{ApiError, Failure};

/// What the services allow between a signature's time and their own, in seconds.
const SKEW_MAX: i64 = 300;

/// Whether a request changes something: what does not may be sent again whenever its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Nothing is changed: every passing failure is tried again.
    Reads,
    /// Something is changed: a request whose end is not known is never sent again.
    Writes,
}

/// Why there was no answer.
pub(crate) fn broken(broken: Broken, subject: Subject<'_>, nature: Nature) -> ApiError {
    match broken {
        Broken::Unreached(error) => {
            subject.error(Failure::Transient, "nobody was reached, nothing was sent").because(error)
        }
        Broken::Lost(error) => {
            let message = if error.is_timeout() { "no answer came in time" } else { "the answer was lost" };
            subject.error(Failure::Transient.seen_by(nature), message).because(error)
        }
        Broken::TooLong => subject.error(Failure::Unexpected, "the answer is longer than it may be"),
    }
}

/// By how much the clocks differ, where that is why a signature was refused.
pub(crate) fn skewed(failure: Failure, answer: &Incoming, now: Timestamp) -> Option<String> {
    let refused = matches!(failure, Failure::Auth | Failure::ClockSkew);
    let ahead = skew(&answer.headers, now).filter(|ahead| refused && ahead.abs() > SKEW_MAX)?;
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "this machine's clock is {} s {direction} the service's, {SKEW_MAX} s are allowed",
        ahead.abs()
    ))
}

impl Failure {
    /// A passing failure of a request that changes something leaves its end open.
    pub(crate) const fn seen_by(self, nature: Nature) -> Self {
        match (self, nature) {
            (Self::Transient, Nature::Writes) => Self::InDoubt,
            _ => self,
        }
    }
}
