//! The right to change something, handed out by the engine alone.

use serde::{Deserialize, Serialize};

use crate::cancel::CancelToken;

/// A number that grows with every change of a run's owner. The later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// The right to change the world, for the time of one call.
///
/// Every port method that changes something takes a `&Permit`. There is no public constructor and no `Clone`, so code
/// that got none, such as [`preview`](crate::Step::preview) and [`capture`](crate::Rollback::capture), cannot
/// change anything: it does not compile. Tests get one from `flow_testkit::permit()`.
#[derive(Debug)]
pub struct Permit {
    idempotency_key: String,
    fence: Fence,
    attempt: u32,
    cancel: CancelToken,
}

impl Permit {
    pub(crate) fn new(idempotency_key: String, fence: Fence, attempt: u32, cancel: CancelToken) -> Self {
        Self { idempotency_key, fence, attempt, cancel }
    }

    /// A permit for a test of an adapter or a step.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn for_tests(idempotency_key: &str, fence: Fence, attempt: u32, cancel: CancelToken) -> Self {
        Self::new(idempotency_key.to_owned(), fence, attempt, cancel)
    }

    /// A key that is the same on every attempt of this call and on no other call.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The fence under which this call was begun. A side that has seen a later one refuses.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Which attempt this is, counted from 1 and over crashes.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Asks this call to stop; the call ends as soon as it can say how far it came. A call that lasts no longer than a moment
    /// need not look; one that has not answered five seconds later is dropped.
    #[must_use]
    pub const fn cancel(&self) -> &CancelToken {
        &self.cancel
    }
}
