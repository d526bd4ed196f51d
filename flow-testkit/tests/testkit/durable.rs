//! The suite for durable engines: passed by flow-core's own over the memory store, and broken promise by promise.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::durable::{
    Attempt, Call, CallOptions, Capabilities, Durable, Milestone, Opening, PerformError,
};
use flow_core::journal::{MemoryJournal, Record, Recorded, Signal};
use flow_core::machine::{CallKey, State};
use flow_core::{CancelToken, Digest, ErrorKind, Fence, RunId, StepError};
use flow_testkit::conformance::durable::{DurableFixture, Holds, JournaledRun};
use futures::FutureExt as _;
use std::time::Duration;

mod fake {
    use super::*;

    async fn fresh() -> ((), JournaledRun<MemoryJournal>) {
        ((), JournaledRun::new(MemoryJournal::new()))
    }

    flow_testkit::durable_conformance!(fresh);
}

/// How an engine breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    NeverRecords,
    ReadsAgain,
    IntentAfterEffect,
    KeyPerAttempt,
    LosesHistory,
    RetriesEverything,
    OneAttemptMore,
    ForgetsDoubt,
    ForgetsLostAttempts,
    DropsWithoutTelling,
    RejectsWhatWasCancelled,
    BeginsWhatIsCancelled,
    WakesAtOnce,
    TakesEveryAnswer,
    TimesOutAtOnce,
    CancelEndsTheSleep,
    ForgetsTheRun,
    BlamesTheCall,
    NotesEveryMilestone,
    TakesAnyDefinition,
    LetsTwoIn,
    OneFence,
    ActsLate,
    NeverGivesBack,
    NeverBegins,
}

/// An engine that breaks one promise.
struct Broken {
    inner: Arc<dyn Durable>,
    breaks: Break,
    fingerprint: Arc<Mutex<Option<Digest>>>,
}

impl Broken {
    fn is(&self, breaks: Break) -> bool {
        self.breaks == breaks
    }

    /// The effect as this engine calls it.
    fn bent(&self, call: Call) -> Call {
        let Call { key, mut options, effect } = call;
        let (breaks, effect) = (self.breaks, Arc::new(effect));
        match breaks {
            Break::OneAttemptMore => options.attempts += 1,
            Break::BeginsWhatIsCancelled => options.cancel = CancelToken::new(),
            _ => {}
        }
        let bent = move |mut attempt: Attempt| {
            match breaks {
                Break::KeyPerAttempt => attempt.idempotency_key += &attempt.number.to_string(),
                Break::OneFence => attempt.fence = Fence(1),
                _ => {}
            }
            let effect = effect.clone();
            async move {
                let ended = effect(attempt).await;
                ended.map_err(|error| match (breaks, error.kind()) {
                    (Break::RetriesEverything, ErrorKind::Failed)
                    | (Break::ForgetsDoubt, ErrorKind::TimedOut) => {
                        StepError::new(ErrorKind::Unavailable, "not this time")
                    }
                    _ => error,
                })
            }
            .boxed()
        };
        Call { key, options, effect: Box::new(bent) }
    }
}

fn attempt() -> Attempt {
    Attempt { idempotency_key: "key".to_owned(), fence: Fence(1), number: 1, cancel: CancelToken::new() }
}

fn unrecorded(error: &StepError) -> PerformError {
    PerformError::Rejected(error.into())
}

#[async_trait]
impl Durable for Broken {
    fn run(&self) -> &RunId {
        self.inner.run()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, mut opening: Opening) -> Result<State, PerformError> {
        let known = *self.fingerprint.lock().unwrap().get_or_insert(opening.fingerprint);
        if self.is(Break::TakesAnyDefinition) {
            opening.fingerprint = known;
        }
        match self.inner.open(opening).await {
            Err(PerformError::Unavailable(_)) if self.is(Break::LetsTwoIn) => Ok(State::Fresh),
            Ok(_) if self.is(Break::ForgetsTheRun) => Ok(State::Fresh),
            opened => opened,
        }
    }

    async fn perform(&self, call: Call) -> Result<Recorded, PerformError> {
        let call = self.bent(call);
        match self.breaks {
            Break::NeverBegins => std::future::pending().await,
            Break::NeverRecords => (call.effect)(attempt()).await.map_err(|error| unrecorded(&error)),
            Break::IntentAfterEffect => {
                let ended = (call.effect)(attempt()).await.map_err(|error| unrecorded(&error))?;
                let effect = Box::new(move |_| std::future::ready(Ok(ended.clone())).boxed());
                self.inner.perform(Call { effect, ..call }).await
            }
            Break::DropsWithoutTelling => {
                let deadline = call.options.deadline;
                let options = CallOptions { deadline: Duration::from_secs(3600), ..call.options };
                let patient = self.inner.perform(Call { options, ..call });
                let late = || StepError::new(ErrorKind::TimedOut, "not done in time");
                let ended = tokio::time::timeout(deadline, patient).await;
                ended.unwrap_or_else(|_| Err(PerformError::InDoubt((&late()).into())))
            }
            Break::ActsLate => {
                let again = Arc::new(call.effect);
                let effect = again.clone();
                let kept = Call { effect: Box::new(move |attempt| effect(attempt)), ..call };
                match self.inner.perform(kept).await {
                    Err(lost) if lost.hands_over() => {
                        again(attempt()).await.map_err(|error| unrecorded(&error))
                    }
                    ended => ended,
                }
            }
            _ => match self.inner.perform(call).await {
                Err(PerformError::InDoubt(cause))
                    if self.is(Break::ForgetsLostAttempts) && cause.kind.is_rejection() =>
                {
                    Err(PerformError::Rejected(cause))
                }
                Err(PerformError::Cancelled) if self.is(Break::RejectsWhatWasCancelled) => {
                    Err(unrecorded(&StepError::new(ErrorKind::Failed, "cancelled")))
                }
                Err(PerformError::Unavailable(cause)) if self.is(Break::BlamesTheCall) => {
                    Err(PerformError::Rejected(cause))
                }
                ended => ended,
            },
        }
    }

    async fn read(&self, call: Call) -> Result<Recorded, PerformError> {
        let call = self.bent(call);
        if self.is(Break::ReadsAgain) {
            let fresh = (call.effect)(attempt()).await.map_err(|error| unrecorded(&error))?;
            self.inner.read(call).await?;
            return Ok(fresh);
        }
        self.inner.read(call).await
    }

    async fn sleep(&self, key: CallKey, duration: Duration, cancel: CancelToken) -> Result<(), PerformError> {
        match self.breaks {
            Break::WakesAtOnce => Ok(()),
            Break::CancelEndsTheSleep if cancel.is_cancelled() => {
                self.inner.sleep(key, Duration::ZERO, CancelToken::new()).await?;
                Err(PerformError::Cancelled)
            }
            _ => self.inner.sleep(key, duration, cancel).await,
        }
    }

    async fn wait(
        &self,
        key: CallKey,
        deadline: Option<Duration>,
        cancel: CancelToken,
    ) -> Result<Signal, PerformError> {
        let deadline =
            if self.is(Break::TimesOutAtOnce) { deadline.and(Some(Duration::ZERO)) } else { deadline };
        self.inner.wait(key, deadline, cancel).await
    }

    async fn publish(&self, milestone: Milestone) -> Result<(), PerformError> {
        let started = matches!(milestone, Milestone::Started { .. });
        self.inner.publish(milestone).await?;
        if self.is(Break::NotesEveryMilestone) && !started {
            self.inner.publish(Milestone::Noted(std::collections::BTreeMap::new())).await?;
        }
        Ok(())
    }

    async fn state(&self) -> Result<State, PerformError> {
        self.inner.state().await
    }

    async fn history(&self) -> Result<Vec<Record>, PerformError> {
        let skipped = usize::from(self.is(Break::LosesHistory));
        Ok(self.inner.history().await?.split_off(skipped))
    }

    async fn close(&self) {
        if !self.is(Break::NeverGivesBack) {
            self.inner.close().await;
        }
    }
}

struct BrokenRun {
    run: JournaledRun<MemoryJournal>,
    breaks: Break,
    fingerprint: Arc<Mutex<Option<Digest>>>,
}

#[async_trait]
impl DurableFixture for BrokenRun {
    fn handle(&self, holds: Holds) -> Arc<dyn Durable> {
        let (inner, fingerprint) = (self.run.handle(holds), self.fingerprint.clone());
        Arc::new(Broken { inner, breaks: self.breaks, fingerprint })
    }

    async fn answer(
        &self,
        wait: &CallKey,
        signal: &Signal,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.run.answer(wait, signal).await? || self.breaks == Break::TakesEveryAnswer)
    }

    async fn usurp(&self, fence: Fence) -> Option<()> {
        self.run.usurp(fence).await
    }
}

mod broken {
    use flow_testkit::conformance::durable::attempts;

    use super::*;

    async fn run(breaks: Break) -> ((), BrokenRun) {
        let run = JournaledRun::new(MemoryJournal::new());
        ((), BrokenRun { run, breaks, fingerprint: Arc::default() })
    }

    macro_rules! by {
        ($break:ident) => {
            async || flow_testkit::conformance::durable::fresh(async || run(Break::$break).await).await
        };
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_begins_an_effect_fails_and_does_not_hang() {
        let run = by!(NeverBegins)().await;
        let checked = attempts::a_cancelled_call_is_told_and_ends_cancelled(&run);
        let checked = tokio::time::timeout(Duration::from_secs(600), checked).await.unwrap();
        let missed = checked.unwrap_err().to_string();
        assert!(missed.contains("until the engine has begun the effect"), "{missed}");
    }

    flow_testkit::broken_implementations! { durable_conformance, durable:
        calls::a_call_that_ended_returns_what_it_returned_without_running_again => by!(NeverRecords),
        calls::a_call_that_was_rejected_stays_rejected => by!(NeverRecords),
        calls::what_was_read_is_read_once_and_durable_before_the_next_effect => by!(ReadsAgain),
        calls::the_intent_is_durable_when_the_effect_begins => by!(IntentAfterEffect),
        calls::every_attempt_has_the_same_key_and_no_other_call_has_it => by!(KeyPerAttempt),
        calls::the_history_is_everything_in_order => by!(LosesHistory),
        attempts::only_what_may_come_out_differently_is_tried_again => by!(RetriesEverything),
        attempts::there_are_no_more_attempts_than_allowed => by!(OneAttemptMore),
        attempts::an_end_is_the_worst_of_its_attempts => by!(ForgetsDoubt),
        attempts::an_attempt_that_was_lost_is_in_doubt => by!(ForgetsLostAttempts),
        attempts::a_call_past_its_deadline_is_stopped_from_outside => by!(DropsWithoutTelling),
        attempts::a_cancelled_call_is_told_and_ends_cancelled => by!(RejectsWhatWasCancelled),
        attempts::a_call_that_is_cancelled_before_never_begins => by!(BeginsWhatIsCancelled),
        attempts::a_panic_is_in_doubt => by!(NeverRecords),
        waits::a_sleep_goes_on_over_a_death_and_is_slept_once => by!(WakesAtOnce),
        waits::a_wait_gets_the_first_answer_whoever_was_alive_when_it_came => by!(TakesEveryAnswer),
        waits::a_wait_that_nobody_answers_times_out => by!(TimesOutAtOnce),
        waits::cancelled_waits_end_and_can_be_taken_up_again => by!(CancelEndsTheSleep),
        owners::a_new_run_is_fresh_and_a_begun_one_stands_where_it_stood => by!(ForgetsTheRun),
        owners::a_run_that_is_not_open_does_nothing => by!(BlamesTheCall),
        owners::publishing_what_is_recorded_changes_nothing => by!(NotesEveryMilestone),
        owners::another_definition_is_refused_and_does_no_harm => by!(TakesAnyDefinition),
        owners::while_one_holds_it_another_is_refused => by!(LetsTwoIn),
        owners::the_fence_grows_with_every_owner => by!(OneFence),
        owners::a_superseded_owner_acts_no_more => by!(ActsLate),
        owners::closing_gives_the_run_back_and_keeps_what_is_recorded => by!(NeverGivesBack),
    }
}
