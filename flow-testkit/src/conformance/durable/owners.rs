//! Who works on the run: one owner at a time, each under a later fence.

use std::collections::BTreeMap;

use flow_core::Digest;
use flow_core::durable::{Fencing, Milestone, PerformError};
use flow_core::machine::{Phase, State};
use flow_core::stage::StageName;

use super::script::{FIRST, Ran, SECOND, capture, key, perform};
use super::{Holds, Run, opening};
use crate::conformance::Checked;

/// Opening a run that nobody began says so, and changes nothing; one that was begun stands where it stood.
pub async fn a_new_run_is_fresh_and_a_begun_one_stands_where_it_stood(run: &Run) -> Checked {
    for _ in 0..2 {
        let (handle, state) = run.open(Holds::Long).await?;
        assert_eq!(state, State::Fresh, "opened and not started");
        handle.close().await;
    }
    let first = run.begin(Holds::Long).await?;
    perform(&*first, FIRST, &Ran::default(), 1).await?;
    let left = first.state().await?;
    first.close().await;
    let (second, found) = run.open(Holds::Long).await?;
    let of = |state: &State| {
        let running = state.running()?;
        let ended = running.effect(&key(FIRST, Phase::Do))?.ended.clone();
        Some((running.plan.hash, running.stage, running.begun.clone(), ended))
    };
    assert!(of(&left).is_some());
    assert_eq!(of(&found), of(&left));
    assert_eq!(of(&second.state().await?), of(&left));
    Ok(())
}

/// A run that is not open, or is closed again, is unavailable, and nothing happens.
pub async fn a_run_that_is_not_open_does_nothing(run: &Run) -> Checked {
    let ran = Ran::default();
    let handle = run.handle(Holds::Long);
    let call = || ran.returning(key(FIRST, Phase::Do), 1);
    assert!(matches!(handle.perform(call()).await, Err(PerformError::Unavailable(_))), "before it is opened");
    handle.open(opening(run.plan()?.fingerprint)).await?;
    handle.publish(run.started()?).await?;
    capture(&*handle, FIRST).await?;
    handle.close().await;
    assert!(matches!(handle.perform(call()).await, Err(PerformError::Unavailable(_))), "after it is closed");
    assert!(matches!(handle.state().await, Err(PerformError::Unavailable(_))));
    assert_eq!(ran.times(), 0);
    Ok(())
}

/// An engine that replays publishes again what stands already: nothing changes. What cannot follow is refused.
pub async fn publishing_what_is_recorded_changes_nothing(run: &Run) -> Checked {
    let durable = run.begin(Holds::Long).await?;
    for step in [FIRST, SECOND] {
        perform(&*durable, step, &Ran::default(), 1).await?;
    }
    durable.publish(Milestone::StageFinished(StageName::Prepare)).await?;
    let recorded = durable.history().await?;
    durable.publish(run.started()?).await?;
    durable.publish(Milestone::StageFinished(StageName::Prepare)).await?;
    assert_eq!(durable.history().await?, recorded);
    let skipped = durable.publish(Milestone::StageFinished(StageName::Services)).await;
    assert!(matches!(skipped, Err(PerformError::Incompatible(_))), "{skipped:?}");
    Ok(())
}

/// A workflow with another definition does not get the run, and whoever has the right one still does.
pub async fn another_definition_is_refused_and_does_no_harm(run: &Run) -> Checked {
    let first = run.begin(Holds::Long).await?;
    let note = Milestone::Noted(BTreeMap::from([("noted".to_owned(), true.into())]));
    first.publish(note).await?;
    let recorded = first.history().await?.len();
    first.close().await;
    let refused = run.handle(Holds::Long).open(opening(Digest::of(b"another"))).await;
    assert!(matches!(refused, Err(PerformError::Incompatible(_))), "{refused:?}");
    let (second, _) = run.open(Holds::Long).await?;
    // The new owner may have said that it is one.
    let found = second.history().await?.len();
    assert!((recorded..=recorded + 1).contains(&found), "{found} records after {recorded}");
    Ok(())
}

/// While one owner holds the run, nobody else gets it.
pub async fn while_one_holds_it_another_is_refused(run: &Run) -> Checked {
    let first = run.begin(Holds::Long).await?;
    let refused = run.handle(Holds::Long).open(opening(run.plan()?.fingerprint)).await;
    assert!(matches!(refused, Err(PerformError::Unavailable(_))), "{refused:?}");
    perform(&*first, FIRST, &Ran::default(), 1).await?;
    Ok(())
}

/// Every owner has a later fence than the one before, also one that follows a death.
pub async fn the_fence_grows_with_every_owner(run: &Run) -> Checked {
    let (one, two, three) = (Ran::default(), Ran::default(), Ran::default());
    let first = run.begin(Holds::Long).await?;
    perform(&*first, FIRST, &one, 1).await?;
    first.close().await;
    let second = run.reopen().await?;
    capture(&*second, SECOND).await?;
    super::calls::dies_in(&two, second.perform(two.hanging(key(SECOND, Phase::Do)))).await?;
    drop(second);
    let third = run.reopen().await?;
    third.perform(three.returning(key(SECOND, Phase::Do), 1)).await?;
    let fences: Vec<_> =
        [one, two, three].iter().flat_map(Ran::attempts).map(|attempt| attempt.fence).collect();
    assert!(fences.len() == 3 && fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    Ok(())
}

/// An owner who lost the run without knowing begins nothing more, and is told that somebody else goes on.
pub async fn a_superseded_owner_acts_no_more(run: &Run) -> Checked {
    let ran = Ran::default();
    let late = run.begin(Holds::Long).await?;
    perform(&*late, FIRST, &ran, 1).await?;
    capture(&*late, SECOND).await?;
    let fence = ran.attempts().first().map(|attempt| attempt.fence).ok_or("the effect did not run")?;
    if run.usurp(fence).await.is_none() {
        assert_ne!(late.capabilities().fencing, Fencing::PerOwner, "it claims a fence that nobody can test");
        return Ok(());
    }
    let refused = late.perform(ran.returning(key(SECOND, Phase::Do), 1)).await;
    assert!(refused.as_ref().is_err_and(PerformError::hands_over), "{refused:?}");
    assert_eq!(ran.times(), 1, "a late owner's effect ran");
    let published = late.publish(Milestone::StageFinished(StageName::Prepare)).await;
    assert!(published.as_ref().is_err_and(PerformError::hands_over), "{published:?}");
    Ok(())
}

/// Closing gives the run back at once, however long it could have been held, and the next owner finds all of it.
pub async fn closing_gives_the_run_back_and_keeps_what_is_recorded(run: &Run) -> Checked {
    let first = run.begin(Holds::Long).await?;
    perform(&*first, FIRST, &Ran::default(), 1).await?;
    first.close().await;
    first.close().await;
    let (second, state) = run.open(Holds::Long).await?;
    let ended = state.running().and_then(|running| running.effect(&key(FIRST, Phase::Do))?.ended.clone());
    assert!(ended.is_some(), "the end of the call is gone");
    second.close().await;
    Ok(())
}
