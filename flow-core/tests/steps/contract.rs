//! What every step must hold, tried on one step and one world.

use flow_core::prelude::*;
use flow_core::stage::Stage;
use flow_core::{Fence, Outcome};
use flow_testkit::permit_under;

use crate::world::{Break, World};

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
    let begun = world.mark();
    let (before, receipt, breaks) = run_twice(world, step, cx, begun).await;
    let done = world.seen();

    let finished = Outcome::Finished(receipt.clone());
    let begun = world.mark();
    step.roll_back(cx, &back(), &before, &finished).await.unwrap();
    assert_eq!(world.seen(), untouched, "undone");
    let undo_breaks = world.breaks_since(begun);
    for outcome in [&finished, &Outcome::InDoubt(None)] {
        step.roll_back(cx, &back(), &before, outcome).await.unwrap();
        assert_eq!(world.seen(), untouched, "undone once more");
    }
    step.run(cx, &forward(), &before).await.unwrap();
    assert_eq!(world.seen(), done, "done again after its undo");
    step.roll_back(cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(world.seen(), untouched, "undone without knowing how it ended");

    for broken in &breaks {
        fails(world, step.run(cx, &forward(), &before), broken).await;
        step.roll_back(cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
        assert_eq!(world.seen(), untouched, "undone after {broken:?}");

        fails(world, step.run(cx, &forward(), &before), broken).await;
        step.run(cx, &forward(), &before).await.unwrap();
        assert_eq!(world.seen(), done, "the next attempt finishes after {broken:?}");
        step.roll_back(cx, &back(), &before, &finished).await.unwrap();
    }
    for broken in &undo_breaks {
        step.run(cx, &forward(), &before).await.unwrap();
        fails(world, step.roll_back(cx, &back(), &before, &finished), broken).await;
        step.roll_back(cx, &back(), &before, &finished).await.unwrap();
        assert_eq!(world.seen(), untouched, "the next attempt finishes an undo after {broken:?}");
    }
    assert_eq!(world.ledger.refusals(), [""; 0], "the step asks for nothing that a strict world refuses");
    step.run(cx, &forward(), &before).await.unwrap()
}

async fn run_twice<S: Stage>(
    world: &World,
    step: &impl Step<S>,
    cx: &StepContext<S>,
    begun: (usize, usize),
) -> (Captured, Receipt<S>, Vec<Break>) {
    let untouched = world.seen();
    step.preview(cx).await.unwrap();
    let before = step.capture(cx).await.unwrap();
    assert!(world.breaks_since(begun).is_empty(), "preview and capture change nothing");
    assert_eq!(world.seen(), untouched);

    let receipt = step.run(cx, &forward(), &before).await.unwrap();
    for activity in step.covers() {
        assert!(receipt.covers(activity), "no evidence for {activity:?}");
    }
    let (done, breaks) = (world.seen(), world.breaks_since(begun));
    let again = step.run(cx, &forward(), &before).await.unwrap();
    assert_eq!(world.seen(), done, "run twice is once");
    assert_eq!(again.facts, receipt.facts);
    (before, receipt, breaks)
}

/// Lets a single change of a call break, and holds the call to it: it is in doubt, and the change was made.
async fn fails<T>(world: &World, call: impl Future<Output = Result<T, StepError>>, broken: &Break) {
    world.inject(broken);
    let Err(error) = call.await else { panic!("{broken:?} went unnoticed") };
    assert!(world.broke(), "{broken:?} was never reached");
    assert!(!error.kind().is_rejection(), "a broken change left something behind: {error}");
}
