//! Running a step: once, again, and when it should not.

use std::time::Instant;

use flow_core::CancelToken;

use super::{StepFixture, Trial, forward, look};
use crate::conformance::Checked;

/// A step that cannot say what it observed has not shown that it is done.
pub async fn the_receipt_has_evidence_for_everything_it_covers(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let receipt = trial.run().await?;
    for activity in fixture.step().covers() {
        let evidence = receipt.evidence.iter().find(|evidence| evidence.activity == activity);
        assert!(
            evidence.is_some_and(|evidence| !evidence.summary.is_empty()),
            "no evidence for {activity:?}"
        );
    }
    trial.restore("it was done").await
}

/// Under the same captured state and key, another attempt leaves the world and the facts as the first one did.
pub async fn run_twice_is_once(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let receipt = trial.run().await?;
    let done = fixture.seen().await;
    for _ in 0..2 {
        let again = trial.run().await?;
        assert_eq!(fixture.seen().await, done, "run again, it is done a second time");
        assert_eq!(again.facts, receipt.facts, "later stages are told something else");
    }
    trial.restore("it ran three times").await
}

/// An end that is a rejection claims that nothing was left behind, and that is so.
pub async fn a_refusal_leaves_nothing_behind(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let Some(forbidden) = fixture.forbid().await else {
        trial.run().await?;
        return trial.restore("nothing could make it refuse").await;
    };
    let untouched = fixture.seen().await;
    let error = match trial.run().await {
        Ok(receipt) => return Err(format!("{forbidden}, and it is done: {receipt:?}").into()),
        Err(error) => error,
    };
    let seen = fixture.seen().await;
    assert!(seen == untouched || !error.kind().is_rejection(), "{forbidden}: {error}, and left {seen}");
    assert!(error.kind().is_rejection(), "{forbidden}: {error}, though nobody doubts it");
    Ok(())
}

/// A run that is asked to stop ends before its deadline, however it ends, and its undo restores the world.
pub async fn a_cancelled_run_ends_and_can_be_undone(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let cancel = CancelToken::new();
    cancel.cancel();
    let (step, cx, permit) = (fixture.step(), trial.cx(), forward(cancel));
    let ended = tokio::time::timeout(step.deadline(), step.run(&cx, &permit, &trial.before)).await?;
    if ended.is_err_and(|error| error.kind().is_rejection()) {
        assert_eq!(fixture.seen().await, trial.untouched, "a rejection left something behind");
    }
    trial.restore("it was cancelled").await
}

/// Every wait goes through the context's clock: on one whose waits end at once, only the work itself takes time.
pub async fn it_waits_through_the_clock_only(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let before = look(fixture).await;
    let begun = Instant::now();
    trial.run().await?;
    let took = begun.elapsed();
    assert!(took < fixture.takes(), "{took:?} for {before:?}, though no wait takes time");
    trial.restore("it was timed").await
}
