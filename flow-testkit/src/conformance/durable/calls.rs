//! One call: recorded once, whoever asks again.

use flow_core::durable::PerformError;
use flow_core::journal::{Entry, Recorded};
use flow_core::machine::{CallState, Phase};
use flow_core::{ErrorKind, Fence};
use serde_json::json;

use super::script::{FIRST, Ran, SECOND, capture, key, perform};
use super::{Holds, Run};
use crate::conformance::Checked;

/// A call that ended returns what it returned then, to this owner and to every later one, and its effect does not run again.
pub async fn a_call_that_ended_returns_what_it_returned_without_running_again(run: &Run) -> Checked {
    let ran = Ran::default();
    let first = run.begin(Holds::Long).await?;
    assert_eq!(perform(&*first, FIRST, &ran, 1).await?, Recorded(json!(1)));
    let again = first.perform(ran.returning(key(FIRST, Phase::Do), 2)).await?;
    assert_eq!(again, Recorded(json!(1)), "asked again by the same owner");
    first.close().await;
    let second = run.reopen().await?;
    let again = second.perform(ran.returning(key(FIRST, Phase::Do), 3)).await?;
    assert_eq!((again, ran.times()), (Recorded(json!(1)), 1), "asked again by another owner");
    Ok(())
}

/// A call that was rejected stays rejected, with its cause.
pub async fn a_call_that_was_rejected_stays_rejected(run: &Run) -> Checked {
    let ran = Ran::default();
    let first = run.begin(Holds::Long).await?;
    capture(&*first, FIRST).await?;
    let failed = first.perform(ran.failing(key(FIRST, Phase::Do), 1, &[ErrorKind::Failed])).await;
    let Err(PerformError::Rejected(cause)) = &failed else { return Err(format!("{failed:?}").into()) };
    assert_eq!((cause.kind, cause.message.as_str()), (ErrorKind::Failed, "not this time"));
    first.close().await;
    let second = run.reopen().await?;
    assert_eq!(second.perform(ran.returning(key(FIRST, Phase::Do), 1)).await, failed);
    assert_eq!(ran.times(), 1);
    Ok(())
}

/// What was read is read once: the next effect begins with it recorded, so that an owner who comes after a death uses it again.
pub async fn what_was_read_is_read_once_and_durable_before_the_next_effect(run: &Run) -> Checked {
    let (read, ran) = (Ran::default(), Ran::default());
    let first = run.begin(Holds::Briefly).await?;
    let before = first.read(read.returning(key(FIRST, Phase::Capture), 7)).await?;
    assert_eq!(before, first.read(read.returning(key(FIRST, Phase::Capture), 8)).await?);
    dies_in(&ran, first.perform(ran.hanging(key(FIRST, Phase::Do)))).await?;
    drop(first);
    let second = run.reopen().await?;
    assert_eq!(second.read(read.returning(key(FIRST, Phase::Capture), 9)).await?, Recorded(json!(7)));
    assert_eq!(read.times(), 1);
    Ok(())
}

/// An effect begins only when its intent survives a death: whoever comes after knows that it may stand.
pub async fn the_intent_is_durable_when_the_effect_begins(run: &Run) -> Checked {
    let ran = Ran::default();
    let first = run.begin(Holds::Briefly).await?;
    capture(&*first, FIRST).await?;
    dies_in(&ran, first.perform(ran.hanging(key(FIRST, Phase::Do)))).await?;
    drop(first);
    let (_second, state) = run.open(Holds::Briefly).await?;
    let call = state.running().and_then(|running| running.calls.get(&key(FIRST, Phase::Do)));
    assert!(matches!(call, Some(CallState::Effect(effect)) if effect.attempts == 1), "{call:?}");
    Ok(())
}

/// All attempts of a call, over deaths too, have one key, which no other call has; attempts are counted from 1.
pub async fn every_attempt_has_the_same_key_and_no_other_call_has_it(run: &Run) -> Checked {
    let (ran, other) = (Ran::default(), Ran::default());
    let first = run.begin(Holds::Briefly).await?;
    capture(&*first, FIRST).await?;
    perform(&*first, SECOND, &other, 1).await?;
    dies_in(&ran, first.perform(ran.hanging(key(FIRST, Phase::Do)))).await?;
    drop(first);
    let second = run.reopen().await?;
    second.perform(ran.failing(key(FIRST, Phase::Do), 2, &[ErrorKind::Unavailable])).await?;
    let attempts = ran.attempts();
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let keys: Vec<&str> = attempts.iter().map(|attempt| attempt.idempotency_key.as_str()).collect();
    assert!(keys.iter().all(|key| Some(key) == keys.first() && !key.is_empty()), "{keys:?}");
    assert!(other.attempts().iter().all(|attempt| !keys.contains(&attempt.idempotency_key.as_str())));
    let fences: Vec<Fence> = attempts.iter().map(|attempt| attempt.fence).collect();
    assert!(fences.is_sorted(), "{fences:?}");
    Ok(())
}

/// The history is everything that is recorded, in order, and durable by the time it is given.
pub async fn the_history_is_everything_in_order(run: &Run) -> Checked {
    let first = run.begin(Holds::Briefly).await?;
    perform(&*first, FIRST, &Ran::default(), 1).await?;
    let told = first.history().await?;
    drop(first);
    let second = run.reopen().await?;
    let found = second.history().await?;
    assert!(found.starts_with(&told), "what was told is gone: {found:?}");
    assert!(matches!(told.first().map(|record| &record.entry), Some(Entry::Started { .. })), "{told:?}");
    let done = |entry: &Entry| matches!(entry, Entry::Ended { key: of, .. } if *of == key(FIRST, Phase::Do));
    assert!(told.iter().any(|record| done(&record.entry)), "{told:?}");
    let numbered: Vec<u64> = found.iter().map(|record| record.seq).collect();
    assert!(numbered.iter().copied().eq(1..=found.len() as u64), "{numbered:?}");
    Ok(())
}

/// Lets the process die in an effect that never ends by itself.
pub(super) async fn dies_in(
    ran: &Ran,
    call: impl Future<Output = Result<Recorded, PerformError>> + Send,
) -> Checked {
    let times = ran.times() + 1;
    tokio::select! {
        ended = call => Err(format!("it ended before it died: {ended:?}").into()),
        begun = ran.begun(times) => begun,
    }
}
