//! One attempt of an effect, watched from outside: its deadline, a cancel, the loss of the lease.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::durable::{Attempt, Call, Points};
use crate::error::{ErrorKind, StepError};
use crate::journal::Recorded;

/// Runs one attempt in a task of its own, so that one that blocks or hangs cannot hold up its own watchdog. Once asked to
/// stop it has `grace` to say how far it came before it is dropped.
pub(super) async fn run(
    call: &Call,
    attempt: Attempt,
    lost: &CancelToken,
    grace: Duration,
    clock: &Arc<dyn Clock>,
    points: &Points,
) -> Result<Recorded, StepError> {
    let token = attempt.cancel.clone();
    let mut task = Abort(tokio::spawn(points.effect(&call.key, &call.effect, attempt, clock)));
    let reason = tokio::select! {
        biased;
        ended = &mut task.0 => return flatten(ended),
        () = call.options.cancel.cancelled() => {
            StepError::new(ErrorKind::Cancelled, "cancelled, and it did not say how far it came")
        }
        () = lost.cancelled() => StepError::new(ErrorKind::Cancelled, "the lease was lost meanwhile"),
        () = clock.sleep(call.options.deadline) => {
            let seconds = call.options.deadline.as_secs_f64();
            StepError::new(ErrorKind::TimedOut, "not done in time").fact("deadline", format_args!("{seconds} s"))
        }
    };
    token.cancel();
    tokio::select! {
        biased;
        ended = &mut task.0 => match flatten(ended) {
            // It stopped because it was asked to: the reason for asking is the cause.
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(reason.because(error)),
            ended => ended,
        },
        () = clock.sleep(grace) => Err(reason),
    }
}

fn flatten(ended: Result<Result<Recorded, StepError>, JoinError>) -> Result<Recorded, StepError> {
    ended.unwrap_or_else(|error| Err(StepError::in_doubt("the step panicked").because(error)))
}

/// Ends its task when it is dropped.
struct Abort<T>(JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Background(JoinHandle<()>);

impl Background {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}
