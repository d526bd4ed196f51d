use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::cancel::CancelToken;
use crate::error::StepError;
use crate::journal::Recorded;
use crate::machine::CallKey;
use crate::permit::{Fence, Permit};

/// One durable call: recorded once, executed at least once.
pub struct Call {
    /// Names the call: the same in every process.
    pub key: CallKey,
    /// How it is carried out.
    pub options: CallOptions,
    /// What it does.
    pub effect: Effect,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("key", &self.key).field("options", &self.options).finish_non_exhaustive()
    }
}

/// How a call is carried out.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// How long one attempt may take, watched from outside it.
    pub deadline: Duration,
    /// How many attempts there are at most, for failures of a retryable kind.
    pub attempts: u32,
    /// Asks the call to stop.
    pub cancel: CancelToken,
}

/// What a call does. `Fn`, because it may be tried again; `'static`, because a distributed engine's macros demand it.
pub type Effect = Box<dyn Fn(Attempt) -> BoxFuture<'static, Result<Recorded, StepError>> + Send + Sync>;

/// One attempt of a call.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The same on every attempt of this call and on no other call.
    pub idempotency_key: String,
    /// The fence under which it was begun.
    pub fence: Fence,
    /// Counted from 1 and over crashes.
    pub number: u32,
    /// Asks this attempt to stop.
    pub cancel: CancelToken,
}

impl Attempt {
    /// The right to change the world for the time of this attempt. Only the engine can turn one into the other.
    pub(crate) fn into_permit(self) -> Permit {
        Permit::new(self.idempotency_key, self.fence, self.number, self.cancel)
    }
}
