//! What every [`Step`] promises, as checks over a world that can be looked at from outside.
//!
//! [`step_conformance!`](crate::step_conformance) makes a test of each: the failing test's name is the diagnosis.

pub mod attempts;
pub mod halves;
pub mod outline;
pub mod reading;
pub mod undo;

mod clock;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::stage::Stage;
use flow_core::{
    CancelToken, Captured, Fence, Outcome, Permit, Receipt, Reversibility, Step, StepContext, StepError,
};

use super::Checked;
use clock::Instantly;

/// More changes than any one step makes: whoever counts past it counts wrongly.
const MOST_CHANGES: usize = 1000;

/// A step under test in a world of its own, and the ways to look at that world and to disturb it, past the step.
///
/// The world is what the step's ports lead to: a directory, a database, a service, or fakes of them.
#[async_trait]
pub trait StepFixture: Send + Sync {
    /// The stage that it is a step of.
    type Stage: Stage;

    /// The step, built anew over the same world wherever that can be done, as a process after a crash would build it.
    fn step(&self) -> Arc<dyn Step<Self::Stage>>;

    /// What the step knows of its run: [`context`](crate::context), with the receipts that it reads.
    fn context(&self) -> StepContext<Self::Stage>;

    /// Everything in the world that an undo must bring back, read from outside the step, in any form that differs where the world
    /// does. What the step's [`Reversibility`] says will stay is left out.
    async fn seen(&self) -> String;

    /// How often the step has changed something so far, what stays included. [`None`] where nobody counts: then two looks at
    /// the [world](Self::seen) stand for it.
    async fn changes(&self) -> Option<usize> {
        None
    }

    /// Lets the `nth` change from now on, counted from 1, take effect without an answer, as a broken connection does. The step
    /// then runs, or is undone, and [`mend`](Self::mend) says whether that change was made.
    ///
    /// [`None`] where changes cannot be broken one by one: a file system, for instance. Half-way points are then only those at
    /// which the step itself waits.
    async fn break_at(&self, nth: usize) -> Option<()>;

    /// Ends the disturbance. Says whether the change that was to break was made.
    async fn mend(&self) -> bool;

    /// Makes the world such that the step must refuse its work: a missing file, a lost right, a taken name. Says what it did, or
    /// [`None`] where nothing can make this step refuse.
    async fn forbid(&self) -> Option<&'static str>;

    /// The secrets that the step is given: texts that may appear nowhere but in the sealed part of what it captures.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// How long one run may take by the machine's own clock, waits through the context's clock aside. Two seconds unless the
    /// work itself takes longer.
    fn takes(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// Makes one `#[tokio::test]` for every promise of a [`Step`](flow_core::Step).
///
/// It takes an async function without arguments that gives a fresh [`StepFixture`]: the step, in a world that nothing was
/// deployed to yet, or an old version, as is harder.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use flow_core::stage::Migrate;
/// use flow_core::{ErrorKind, Step, StepContext, name};
/// use flow_testkit::conformance::step::StepFixture;
/// use flow_testkit::fake::FakeStep;
/// use flow_testkit::fault::{At, Fault};
///
/// /// The world of a fake step is its ledger.
/// struct Fake(FakeStep<Migrate>);
///
/// #[async_trait]
/// impl StepFixture for Fake {
///     type Stage = Migrate;
///
///     fn step(&self) -> Arc<dyn Step<Migrate>> {
///         Arc::new(FakeStep::<Migrate>::in_ledger(name!("migrate"), self.0.ledger()))
///     }
///     fn context(&self) -> StepContext<Migrate> {
///         flow_testkit::context()
///     }
///     async fn seen(&self) -> String {
///         format!("{:?}", self.0.stands())
///     }
///     async fn break_at(&self, nth: usize) -> Option<()> {
///         // It changes one thing, in two halves; of the two calls only one is made.
///         let faults = [Fault::HalfDone, Fault::InDoubt];
///         for point in ["step.run", "step.roll_back"] {
///             faults.get(nth - 1).map(|fault| self.0.ledger().faults().inject(At::call(point), *fault));
///         }
///         Some(())
///     }
///     async fn mend(&self) -> bool {
///         self.0.ledger().faults().withdraw() == 1
///     }
///     async fn forbid(&self) -> Option<&'static str> {
///         self.0.ledger().faults().inject(At::call("step.run"), Fault::Refused(ErrorKind::Denied));
///         Some("the right to migrate is missing")
///     }
/// }
///
/// async fn fresh() -> Fake {
///     Fake(FakeStep::new(name!("migrate")))
/// }
///
/// flow_testkit::step_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! step_conformance {
    ($fresh:expr) => {
        $crate::step_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { step $with
            outline:
                what_it_says_of_itself_stays_the_same
                it_covers_activities_each_of_them_once
                it_declares_whether_it_seals;
            reading:
                preview_changes_nothing
                capture_changes_nothing
                captured_state_is_enough_for_another_process
                secrets_reach_nothing_but_the_sealed_part;
            attempts:
                the_receipt_has_evidence_for_everything_it_covers
                run_twice_is_once
                a_refusal_leaves_nothing_behind
                a_cancelled_run_ends_and_can_be_undone
                it_waits_through_the_clock_only;
            undo:
                undone_after_it_finished_the_world_is_as_before
                undone_twice_is_once
                undone_without_knowing_how_it_ended_the_world_is_as_before
                undoing_what_never_ran_changes_nothing
                done_again_after_its_undo_it_is_done;
            halves:
                a_change_without_an_answer_is_in_doubt
                undone_from_every_half_way_point_the_world_is_as_before
                the_next_attempt_finishes_what_broke_half_way
                a_broken_undo_says_so_and_the_next_attempt_finishes_it
                undone_after_it_died_where_it_waited_the_world_is_as_before;
        }
    };
}

/// Tries every promise on one fixture, one after the other: for worlds that are costly to build. Each promise leaves the world as
/// it found it, unless it breaks.
///
/// # Errors
/// Where the step refused what it may not refuse. A promise that is broken panics.
pub async fn every_promise(fixture: &impl StepFixture) -> Checked {
    outline::what_it_says_of_itself_stays_the_same(fixture).await?;
    outline::it_covers_activities_each_of_them_once(fixture).await?;
    outline::it_declares_whether_it_seals(fixture).await?;
    reading::preview_changes_nothing(fixture).await?;
    reading::capture_changes_nothing(fixture).await?;
    reading::captured_state_is_enough_for_another_process(fixture).await?;
    reading::secrets_reach_nothing_but_the_sealed_part(fixture).await?;
    attempts::the_receipt_has_evidence_for_everything_it_covers(fixture).await?;
    attempts::run_twice_is_once(fixture).await?;
    attempts::a_cancelled_run_ends_and_can_be_undone(fixture).await?;
    attempts::it_waits_through_the_clock_only(fixture).await?;
    undo::undone_after_it_finished_the_world_is_as_before(fixture).await?;
    undo::undone_twice_is_once(fixture).await?;
    undo::undone_without_knowing_how_it_ended_the_world_is_as_before(fixture).await?;
    undo::undoing_what_never_ran_changes_nothing(fixture).await?;
    undo::done_again_after_its_undo_it_is_done(fixture).await?;
    halves::a_change_without_an_answer_is_in_doubt(fixture).await?;
    halves::undone_from_every_half_way_point_the_world_is_as_before(fixture).await?;
    halves::the_next_attempt_finishes_what_broke_half_way(fixture).await?;
    halves::a_broken_undo_says_so_and_the_next_attempt_finishes_it(fixture).await?;
    halves::undone_after_it_died_where_it_waited_the_world_is_as_before(fixture).await?;
    // Last: nobody gives back what it takes away.
    attempts::a_refusal_leaves_nothing_behind(fixture).await
}

/// One run of the step, from its capture on, on a clock whose waits end at once.
struct Trial<'a, F: StepFixture> {
    fixture: &'a F,
    clock: Instantly,
    untouched: String,
    before: Captured,
}

impl<'a, F: StepFixture> Trial<'a, F> {
    /// Looks at the world and captures.
    async fn begin(fixture: &'a F) -> Result<Self, StepError> {
        let clock = Instantly::default();
        let untouched = fixture.seen().await;
        let before = fixture.step().capture(&context(fixture, &clock)).await?;
        Ok(Self { fixture, clock, untouched, before })
    }

    fn cx(&self) -> StepContext<F::Stage> {
        context(self.fixture, &self.clock)
    }

    async fn run(&self) -> Result<Receipt<F::Stage>, StepError> {
        self.fixture.step().run(&self.cx(), &forward(CancelToken::new()), &self.before).await
    }

    /// Undoes, if there is a way back at all; says whether.
    async fn undo(&self, outcome: &Outcome<F::Stage>) -> Result<bool, StepError> {
        let step = self.fixture.step();
        if matches!(step.reversibility(), Reversibility::Irreversible { .. }) {
            return Ok(false);
        }
        step.roll_back(&self.cx(), &back(), &self.before, outcome).await?;
        Ok(true)
    }

    /// Undoes without knowing more, and holds the world to what it was.
    async fn restore(&self, after: &str) -> Checked {
        if self.undo(&Outcome::InDoubt(None)).await? {
            assert_eq!(self.fixture.seen().await, self.untouched, "undone after {after}");
        }
        Ok(())
    }
}

fn context<F: StepFixture>(fixture: &F, clock: &Instantly) -> StepContext<F::Stage> {
    fixture.context().on(Arc::new(clock.clone()))
}

fn forward(cancel: CancelToken) -> Permit {
    Permit::for_tests("test/do", Fence(1), 1, cancel)
}

fn back() -> Permit {
    Permit::for_tests("test/undo", Fence(1), 1, CancelToken::new())
}

/// What the world looks like, and how often it was changed if somebody counts.
async fn look(fixture: &impl StepFixture) -> (String, Option<usize>) {
    (fixture.seen().await, fixture.changes().await)
}
