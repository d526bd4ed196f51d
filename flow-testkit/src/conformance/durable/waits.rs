//! Sleeping and waiting, over deaths.

use std::time::{Duration, Instant};

use flow_core::durable::PerformError;
use flow_core::journal::Signal;
use flow_core::{Actor, CancelToken};

use super::script::{pause, to_services};
use super::{Holds, Run};
use crate::conformance::Checked;
use crate::conformance::patience::PATIENCE;

/// A sleep goes on where its owner died, neither from its beginning nor from its end; one that is over is over.
pub async fn a_sleep_goes_on_over_a_death_and_is_slept_once(run: &Run) -> Checked {
    let long = Duration::from_secs(4);
    let first = run.begin(Holds::Briefly).await?;
    to_services(&*first).await?;
    let begun = Instant::now();
    let slept =
        tokio::time::timeout(Duration::from_millis(500), first.sleep(pause(1), long, CancelToken::new()))
            .await;
    assert!(slept.is_err(), "{long:?} of sleep are over at once: {slept:?}");
    drop(first);
    let second = run.reopen().await?;
    let reopened = begun.elapsed();
    second.sleep(pause(1), long, CancelToken::new()).await?;
    let took = begun.elapsed();
    assert!(took >= long - Duration::from_millis(100), "slept only {took:?} of {long:?}");
    assert!(took < reopened + long, "{took:?}: it began anew after {reopened:?}");
    let over = Instant::now();
    second.sleep(pause(1), Duration::from_secs(3600), CancelToken::new()).await?;
    assert!(over.elapsed() < PATIENCE, "a sleep that is over is slept again");
    Ok(())
}

/// A wait gets the answer that came first, also one that came while nobody was alive, and every later owner gets the same.
pub async fn a_wait_gets_the_first_answer_whoever_was_alive_when_it_came(run: &Run) -> Checked {
    let approved = Signal::Approved { by: Actor::new("bob")? };
    let refused = Signal::Refused { by: Actor::new("eve")?, reason: "too late".to_owned() };
    let first = run.begin(Holds::Briefly).await?;
    to_services(&*first).await?;
    let waited =
        tokio::time::timeout(Duration::from_millis(500), first.wait(pause(1), None, CancelToken::new()))
            .await;
    assert!(waited.is_err(), "nobody answered: {waited:?}");
    drop(first);
    assert!(run.answer(&pause(1), &approved).await?);
    assert!(!run.answer(&pause(1), &refused).await?, "the second answer is not the first");
    let second = run.reopen().await?;
    let answer = tokio::time::timeout(PATIENCE, second.wait(pause(1), None, CancelToken::new())).await??;
    assert_eq!(answer, approved);
    second.close().await;
    let third = run.reopen().await?;
    assert_eq!(
        tokio::time::timeout(PATIENCE, third.wait(pause(1), None, CancelToken::new())).await??,
        approved
    );
    Ok(())
}

/// A wait with a deadline that nobody answers times out, and stays so.
pub async fn a_wait_that_nobody_answers_times_out(run: &Run) -> Checked {
    let durable = run.begin(Holds::Long).await?;
    to_services(&*durable).await?;
    let deadline = Some(Duration::from_millis(300));
    let begun = Instant::now();
    let answer =
        tokio::time::timeout(PATIENCE, durable.wait(pause(1), deadline, CancelToken::new())).await??;
    assert_eq!(answer, Signal::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(250), "after {:?}", begun.elapsed());
    let late = Signal::Approved { by: Actor::new("bob")? };
    run.answer(&pause(1), &late).await?;
    assert_eq!(durable.wait(pause(1), deadline, CancelToken::new()).await?, Signal::TimedOut);
    Ok(())
}

/// A sleep or a wait whose run is cancelled ends at once, and is not over for that.
pub async fn cancelled_waits_end_and_can_be_taken_up_again(run: &Run) -> Checked {
    let durable = run.begin(Holds::Long).await?;
    to_services(&*durable).await?;
    let cancelled = || {
        let cancel = CancelToken::new();
        cancel.cancel();
        cancel
    };
    let hour = Duration::from_secs(3600);
    let waited = tokio::time::timeout(PATIENCE, durable.wait(pause(1), None, cancelled())).await?;
    assert_eq!(waited, Err(PerformError::Cancelled));
    let answer = Signal::Approved { by: Actor::new("bob")? };
    run.answer(&pause(1), &answer).await?;
    let waited = tokio::time::timeout(PATIENCE, durable.wait(pause(1), None, CancelToken::new())).await??;
    assert_eq!(waited, answer);
    let slept = tokio::time::timeout(PATIENCE, durable.sleep(pause(2), hour, cancelled())).await?;
    assert_eq!(slept, Err(PerformError::Cancelled));
    let asleep = durable.sleep(pause(2), hour, CancelToken::new());
    let asleep = tokio::time::timeout(Duration::from_millis(300), asleep).await;
    assert!(asleep.is_err(), "a cancelled sleep is taken for one that is over: {asleep:?}");
    Ok(())
}
