//! The attempts of a call: how many there are, and how it ends by them.

use std::time::{Duration, Instant};

use flow_core::durable::{CallOptions, PerformError};
use flow_core::journal::Recorded;
use flow_core::machine::Phase;
use flow_core::{CancelToken, ErrorKind, StepError};
use futures::FutureExt as _;

use super::calls::dies_in;
use super::script::{FIRST, Ran, SECOND, capture, key, options};
use super::{Holds, Run};
use crate::conformance::Checked;
use crate::conformance::patience::PATIENCE;

/// Only a kind of failure that may come out differently is tried again.
pub async fn only_what_may_come_out_differently_is_tried_again(run: &Run) -> Checked {
    let (retried, not) = (Ran::default(), Ran::default());
    let durable = run.begin(Holds::Long).await?;
    for step in [FIRST, SECOND] {
        capture(&*durable, step).await?;
    }
    durable
        .perform(retried.failing(key(FIRST, Phase::Do), 3, &[ErrorKind::Unavailable, ErrorKind::Throttled]))
        .await?;
    assert_eq!(retried.times(), 3);
    let failed = durable.perform(not.failing(key(SECOND, Phase::Do), 3, &[ErrorKind::Failed])).await;
    assert!(matches!(failed, Err(PerformError::Rejected(_))), "{failed:?}");
    assert_eq!(not.times(), 1);
    Ok(())
}

/// A call is given up after as many attempts as it may have.
pub async fn there_are_no_more_attempts_than_allowed(run: &Run) -> Checked {
    let ran = Ran::default();
    let durable = run.begin(Holds::Long).await?;
    capture(&*durable, FIRST).await?;
    let failed = durable.perform(ran.failing(key(FIRST, Phase::Do), 2, &[ErrorKind::Unavailable; 9])).await;
    assert!(
        matches!(&failed, Err(PerformError::Rejected(cause)) if cause.kind == ErrorKind::Unavailable),
        "{failed:?}"
    );
    assert_eq!(ran.times(), 2);
    Ok(())
}

/// Once an attempt was in doubt, a later rejection cannot take that back; done is done.
pub async fn an_end_is_the_worst_of_its_attempts(run: &Run) -> Checked {
    let durable = run.begin(Holds::Long).await?;
    for step in [FIRST, SECOND] {
        capture(&*durable, step).await?;
    }
    let kinds = [ErrorKind::TimedOut, ErrorKind::Failed];
    let failed = durable.perform(Ran::default().failing(key(FIRST, Phase::Do), 3, &kinds)).await;
    assert!(matches!(failed, Err(PerformError::InDoubt(_))), "{failed:?}");
    durable.perform(Ran::default().failing(key(SECOND, Phase::Do), 3, &[ErrorKind::TimedOut])).await?;
    Ok(())
}

/// An attempt that was lost in a death counts as one in doubt.
pub async fn an_attempt_that_was_lost_is_in_doubt(run: &Run) -> Checked {
    let ran = Ran::default();
    let first = run.begin(Holds::Briefly).await?;
    capture(&*first, FIRST).await?;
    dies_in(&ran, first.perform(ran.hanging(key(FIRST, Phase::Do)))).await?;
    drop(first);
    let second = run.reopen().await?;
    let failed = second.perform(Ran::default().failing(key(FIRST, Phase::Do), 1, &[ErrorKind::Failed])).await;
    assert!(matches!(failed, Err(PerformError::InDoubt(_))), "{failed:?}");
    Ok(())
}

/// An attempt that does not end in time is told to stop, and in the end dropped: the call ends in doubt.
pub async fn a_call_past_its_deadline_is_stopped_from_outside(run: &Run) -> Checked {
    let ran = Ran::default();
    let durable = run.begin(Holds::Long).await?;
    capture(&*durable, FIRST).await?;
    let options = CallOptions { deadline: Duration::from_millis(50), ..options() };
    let call = ran.call(key(FIRST, Phase::Do), options, |_| std::future::pending().boxed());
    let ended = tokio::time::timeout(PATIENCE, durable.perform(call)).await?;
    assert!(
        matches!(&ended, Err(PerformError::InDoubt(cause)) if cause.kind == ErrorKind::TimedOut),
        "{ended:?}"
    );
    assert!(ran.attempts().iter().all(|attempt| attempt.cancel.is_cancelled()), "nobody asked it to stop");
    Ok(())
}

/// A call that is cancelled under way is told so, may say how far it came, and ends cancelled.
pub async fn a_cancelled_call_is_told_and_ends_cancelled(run: &Run) -> Checked {
    let ran = Ran::default();
    let durable = run.begin(Holds::Long).await?;
    capture(&*durable, FIRST).await?;
    let cancel = CancelToken::new();
    let options = CallOptions { cancel: cancel.clone(), ..options() };
    let call = ran.call(key(FIRST, Phase::Do), options, |attempt| {
        async move {
            attempt.cancel.cancelled().await;
            Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"))
        }
        .boxed()
    });
    let cancelling = async {
        let began = ran.begun(1).await;
        cancel.cancel();
        began
    };
    let begun = Instant::now();
    let (ended, began) = tokio::join!(tokio::time::timeout(PATIENCE, durable.perform(call)), cancelling);
    began?;
    assert_eq!(ended?, Err(PerformError::Cancelled));
    assert!(begun.elapsed() < PATIENCE);
    Ok(())
}

/// A call whose run was cancelled before never begins.
pub async fn a_call_that_is_cancelled_before_never_begins(run: &Run) -> Checked {
    let ran = Ran::default();
    let durable = run.begin(Holds::Long).await?;
    capture(&*durable, FIRST).await?;
    let call = ran.returning(key(FIRST, Phase::Do), 1);
    call.options.cancel.cancel();
    assert_eq!(durable.perform(call).await, Err(PerformError::Cancelled));
    let read = ran.returning(key(SECOND, Phase::Capture), 1);
    read.options.cancel.cancel();
    assert_eq!(durable.read(read).await, Err(PerformError::Cancelled));
    assert_eq!(ran.times(), 0);
    Ok(())
}

/// An effect that panics leaves the engine standing, and nobody knows how far it came.
pub async fn a_panic_is_in_doubt(run: &Run) -> Checked {
    let durable = run.begin(Holds::Long).await?;
    capture(&*durable, FIRST).await?;
    let call = Ran::default().call(key(FIRST, Phase::Do), options(), |attempt| {
        async move {
            assert_eq!(
                attempt.number, 0,
                "attempts are counted from 1: the effect panics, as this check wants"
            );
            Ok(Recorded::default())
        }
        .boxed()
    });
    let ended = durable.perform(call).await;
    assert!(matches!(ended, Err(PerformError::InDoubt(_))), "{ended:?}");
    capture(&*durable, SECOND).await?;
    Ok(())
}
