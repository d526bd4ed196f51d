//! What every step must hold, tried on one step and one world.

use std::sync::Arc;

use flow_core::prelude::*;
use flow_core::stage::Stage;
use flow_core::{Fence, StepContext};
use flow_testkit::conformance::step::{StepFixture, every_promise};
use flow_testkit::fault::Fault;
use flow_testkit::permit_under;

use crate::world::World;

/// The key that the suite itself runs steps under.
fn forward() -> Permit {
    permit_under("test/do", Fence(1), 1)
}

/// Runs a step alone: captured, run, and its receipt.
pub(crate) async fn run<S: Stage>(step: &impl Step<S>, cx: &StepContext<S>) -> Result<Receipt<S>, StepError> {
    let before = step.capture(cx).await?;
    step.run(cx, &forward(), &before).await
}

/// Tries everything that a step promises, and returns the receipt of a run that stands at the end.
pub(crate) async fn obeys<S: Stage>(
    world: &World,
    step: &Arc<impl Step<S>>,
    cx: &StepContext<S>,
) -> Receipt<S> {
    for fault in [Fault::InDoubt, Fault::HalfDone] {
        every_promise(&Standard { world, step, cx, fault }).await.unwrap();
    }
    assert_eq!(world.ledger.refusals(), [""; 0], "the step asks for nothing that a strict world refuses");
    run(&**step, cx).await.unwrap()
}

/// A standard step over the world in memory, whose every change can be broken.
struct Standard<'a, S: Stage, T> {
    world: &'a World,
    step: &'a Arc<T>,
    cx: &'a StepContext<S>,
    fault: Fault,
}

#[async_trait]
impl<S: Stage, T: Step<S>> StepFixture for Standard<'_, S, T> {
    type Stage = S;

    fn step(&self) -> Arc<dyn Step<S>> {
        self.step.clone()
    }

    fn context(&self) -> StepContext<S> {
        self.cx.clone()
    }

    async fn seen(&self) -> String {
        self.world.seen()
    }

    async fn changes(&self) -> Option<usize> {
        Some(self.world.changes().len())
    }

    async fn break_at(&self, nth: usize) -> Option<()> {
        self.world.break_after(nth, self.fault);
        Some(())
    }

    async fn mend(&self) -> bool {
        self.world.mend()
    }

    /// What each step refuses is told by tests of its own.
    async fn forbid(&self) -> Option<&'static str> {
        None
    }
}
