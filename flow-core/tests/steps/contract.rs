//! What every step must hold, tried on one step and one world.

use flow_core::prelude::*;
use flow_core::stage::Stage;
use flow_core::{Fence, Outcome};
use flow_testkit::permit_under;

use crate::world::World;

fn forward() -> Permit {
    permit_under("do", Fence(1), 1)
}

fn back() -> Permit {
    permit_under("undo", Fence(1), 1)
}

/// Runs a step alone: captured, run, and its receipt.
pub(crate) async fn run<S: Stage>(step: &impl Step<S>, cx: &StepContext<S>) -> Result<Receipt<S>, StepError> {
    let before = step.capture(cx).await?;
    step.run(cx, &forward(), &before).await
}

/// Tries everything that a step promises, and returns the receipt of a run that stands at the end:
/// preview and capture change nothing; run twice is once; undo from finished, from an end in doubt and from nothing at all
/// restores the world; and all of that with each single change broken after it took effect.
pub(crate) async fn obeys<S: Stage>(world: &World, step: &impl Step<S>, cx: &StepContext<S>) -> Receipt<S> {
    let untouched = world.seen();
    let (before, receipt, changes) = run_twice(world, step, cx).await;
    let done = world.seen();

    let finished = Outcome::Finished(receipt.clone());
    for outcome in [&finished, &finished, &Outcome::InDoubt(None)] {
        step.roll_back(cx, &back(), &before, outcome).await.unwrap();
        assert_eq!(world.seen(), untouched, "undone, and undone once more");
    }
    step.run(cx, &forward(), &before).await.unwrap();
    assert_eq!(world.seen(), done, "done again after its undo");
    step.roll_back(cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(world.seen(), untouched, "undone without knowing how it ended");

    for change in 1..=changes {
        world.break_after(change);
        let error = step.run(cx, &forward(), &before).await.unwrap_err();
        assert!(world.broke(), "change {change} of {changes} was never made");
        assert!(!error.kind().is_rejection(), "a broken change left something behind: {error}");
        step.roll_back(cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
        assert_eq!(world.seen(), untouched, "undone after change {change} broke");

        world.break_after(change);
        step.run(cx, &forward(), &before).await.unwrap_err();
        step.run(cx, &forward(), &before).await.unwrap();
        assert_eq!(world.seen(), done, "the next attempt finishes what change {change} broke");
        break_undo(world, step, cx, &before, &finished).await;
        assert_eq!(world.seen(), untouched, "the next attempt finishes a broken undo");
    }
    step.run(cx, &forward(), &before).await.unwrap()
}

async fn run_twice<S: Stage>(
    world: &World,
    step: &impl Step<S>,
    cx: &StepContext<S>,
) -> (Captured, Receipt<S>, usize) {
    let (untouched, counted) = (world.seen(), world.changes().len());
    step.preview(cx).await.unwrap();
    let before = step.capture(cx).await.unwrap();
    assert_eq!(world.changes().len(), counted, "preview and capture change nothing");
    assert_eq!(world.seen(), untouched);

    let receipt = step.run(cx, &forward(), &before).await.unwrap();
    for activity in step.covers() {
        assert!(receipt.covers(activity), "no evidence for {activity:?}");
    }
    let (done, changes) = (world.seen(), world.changes().len() - counted);
    let again = step.run(cx, &forward(), &before).await.unwrap();
    assert_eq!(world.seen(), done, "run twice is once");
    assert_eq!(again.facts, receipt.facts);
    (before, receipt, changes)
}

/// Breaks the undo at its first change, if it makes one, and lets the next attempt finish it.
async fn break_undo<S: Stage>(
    world: &World,
    step: &impl Step<S>,
    cx: &StepContext<S>,
    before: &Captured,
    outcome: &Outcome<S>,
) {
    world.break_after(1);
    let first = step.roll_back(cx, &back(), before, outcome).await;
    assert_eq!(first.is_err(), world.broke(), "a broken undo says so");
    step.roll_back(cx, &back(), before, outcome).await.unwrap();
}
