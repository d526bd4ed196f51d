//! What every [`Durable`] promises, as checks.
//!
//! [`durable_conformance!`](crate::durable_conformance) makes a test of each: the failing test's name is the diagnosis. Time here is
//! real, as a store's own is: what must pass is waited for, so a slow machine makes a check slow and never wrong.

pub mod attempts;
pub mod calls;
pub mod owners;
pub mod waits;

mod journaled;
mod script;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::durable::{Durable, Milestone, Opening};
use flow_core::event::EventHub;
use flow_core::journal::Signal;
use flow_core::machine::{CallKey, State};
use flow_core::plan::Plan;
use flow_core::{Digest, Fence, SystemClock};

use crate::conformance::{Fresh, Outside};
pub use journaled::JournaledRun;
use script::Script;

/// One run of a durable engine, and the ways in to it from several processes.
#[async_trait]
pub trait DurableFixture: Send + Sync {
    /// A new handle on the run, as another process makes it. Dropping one without closing it is that process's death.
    fn handle(&self, holds: Holds) -> Arc<dyn Durable>;

    /// Answers a wait of the run, from outside. Says whether it is the first answer.
    ///
    /// # Errors
    /// Any, where the answer could not be left.
    async fn answer(
        &self,
        wait: &CallKey,
        signal: &Signal,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>>;

    /// Gives the run to another owner, from under the one that holds it under `fence` and lives on, as if it had slept past its
    /// time. [`None`] where the engine cannot lose a run to somebody else; then its
    /// [capabilities](flow_core::durable::Capabilities) may not claim a fence from older owners.
    async fn usurp(&self, fence: Fence) -> Option<()>;
}

/// How long a process that opens a run holds it after its last sign of life, and how long it waits for another one to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// For a second at most; waits until others let go.
    Briefly,
    /// Longer than any check takes; waits for nobody.
    Long,
}

/// Makes one `#[tokio::test]` for every promise of [`Durable`](flow_core::durable::Durable).
///
/// It takes an async function without arguments that gives a guard and a fresh [`DurableFixture`]. The guard lives as long as the
/// test: a temporary directory, for instance, or `()`. A journal store needs no fixture of its own: [`JournaledRun`] is one for
/// flow-core's [`Journaled`](flow_core::durable::Journaled) over it.
///
/// ```
/// use flow_core::journal::MemoryJournal;
/// use flow_testkit::conformance::durable::JournaledRun;
///
/// async fn fresh() -> ((), JournaledRun<MemoryJournal>) {
///     ((), JournaledRun::new(MemoryJournal::new()))
/// }
///
/// flow_testkit::durable_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! durable_conformance {
    ($fresh:expr) => {
        $crate::durable_conformance! { @each __promises (|| $crate::conformance::durable::fresh($fresh)) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { durable $with
            calls:
                a_call_that_ended_returns_what_it_returned_without_running_again
                a_call_that_was_rejected_stays_rejected
                what_was_read_is_read_once_and_durable_before_the_next_effect
                the_intent_is_durable_when_the_effect_begins
                every_attempt_has_the_same_key_and_no_other_call_has_it
                the_history_is_everything_in_order;
            attempts:
                only_what_may_come_out_differently_is_tried_again
                there_are_no_more_attempts_than_allowed
                an_end_is_the_worst_of_its_attempts
                an_attempt_that_was_lost_is_in_doubt
                a_call_past_its_deadline_is_stopped_from_outside
                a_cancelled_call_is_told_and_ends_cancelled
                a_call_that_is_cancelled_before_never_begins
                a_panic_is_in_doubt;
            waits:
                a_sleep_goes_on_over_a_death_and_is_slept_once
                a_wait_gets_the_first_answer_whoever_was_alive_when_it_came
                a_wait_that_nobody_answers_times_out
                cancelled_waits_end_and_can_be_taken_up_again;
            owners:
                a_new_run_is_fresh_and_a_begun_one_stands_where_it_stood
                a_run_that_is_not_open_does_nothing
                publishing_what_is_recorded_changes_nothing
                another_definition_is_refused_and_does_no_harm
                while_one_holds_it_another_is_refused
                the_fence_grows_with_every_owner
                a_superseded_owner_acts_no_more
                closing_gives_the_run_back_and_keeps_what_is_recorded;
        }
    };
}

/// A run of the fixture under test, and its plan.
pub struct Run {
    fixture: Box<dyn DurableFixture>,
    /// What a check that needs the plan says where there is none.
    script: Result<Script, String>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

impl Deref for Run {
    type Target = dyn DurableFixture;

    fn deref(&self) -> &Self::Target {
        &*self.fixture
    }
}

/// Calls the constructor that [`durable_conformance!`](crate::durable_conformance) was given.
pub async fn fresh<G, F: DurableFixture + 'static>(
    constructor: impl AsyncFnOnce() -> (G, F),
) -> Fresh<Run, G> {
    let (guard, fixture) = constructor().await;
    let script = Script::new().await.map_err(|error| error.to_string());
    // Here and not in a check, where it would count as caught whatever the engine does.
    assert!(script.is_ok(), "the plan of the run cannot be made: {:?}", script.err());
    Fresh::new(Run { fixture: Box::new(fixture), script }, guard)
}

impl Run {
    fn plan(&self) -> Outside<&Plan> {
        self.script.as_ref().map(|script| &script.plan).map_err(|error| error.clone().into())
    }

    /// Opens the run as another process, and says where it stands.
    async fn open(&self, holds: Holds) -> Outside<(Arc<dyn Durable>, State)> {
        let handle = self.handle(holds);
        let state = handle.open(opening(self.plan()?.fingerprint)).await?;
        Ok((handle, state))
    }

    /// Opens the run for the first time, and starts it.
    async fn begin(&self, holds: Holds) -> Outside<Arc<dyn Durable>> {
        let (handle, state) = self.open(holds).await?;
        if state != State::Fresh {
            return Err("a new run is not fresh".into());
        }
        handle.publish(self.started()?).await?;
        Ok(handle)
    }

    fn started(&self) -> Outside<Milestone> {
        Ok(Milestone::Started { plan: Box::new(self.plan()?.clone()), approvals: Vec::new() })
    }

    /// Opens the run once whoever died has lost it.
    async fn reopen(&self) -> Outside<Arc<dyn Durable>> {
        let (handle, state) = self.open(Holds::Briefly).await?;
        if state == State::Fresh {
            return Err("a run that was started is fresh again".into());
        }
        Ok(handle)
    }
}

fn opening(fingerprint: Digest) -> Opening {
    Opening {
        fingerprint,
        resources: Vec::new(),
        clock: Arc::new(SystemClock::new()),
        events: EventHub::new(),
    }
}
