use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::{Attempt, Call, Capabilities, Durable, Effect, Milestone, Opening, PerformError};
use flow_core::journal::{Record, Recorded, Signal};
use flow_core::machine::{CallKey, State};
use flow_core::{CancelToken, RunId};
use futures::FutureExt;

use super::{Death, Trail};

/// `D`, whose process may die inside an effect or right after it.
#[derive(Debug)]
pub(crate) struct DyingDurable<D> {
    durable: D,
    trail: Arc<Trail>,
}

impl<D> DyingDurable<D> {
    pub(crate) const fn new(durable: D, trail: Arc<Trail>) -> Self {
        Self { durable, trail }
    }

    fn watched(&self, call: Call) -> Call {
        let effect = watched(call.key.to_string(), call.effect, self.trail.clone());
        Call { effect, ..call }
    }
}

fn watched(call: String, effect: Effect, trail: Arc<Trail>) -> Effect {
    Box::new(move |attempt: Attempt| {
        let (call, trail) = (call.clone(), trail.clone());
        trail.note(format_args!("start {call} {}", attempt.number));
        let mut under_way = effect(attempt);
        let mut polls = 0;
        poll_fn(move |cx| match under_way.poll_unpin(cx) {
            Poll::Pending => {
                polls += 1;
                trail.die_if(
                    |death| matches!(death, Death::Inside(at, poll) if *at == call && *poll == polls),
                );
                Poll::Pending
            }
            Poll::Ready(ended) => {
                let how = if ended.is_ok() { "done" } else { "failed" };
                trail.note(format_args!("end {call} {how} {polls}"));
                trail.die_if(|death| matches!(death, Death::Effect(at) if *at == call));
                Poll::Ready(ended)
            }
        })
        .boxed()
    })
}

#[async_trait]
impl<D: Durable> Durable for DyingDurable<D> {
    async fn perform(&self, call: Call) -> Result<Recorded, PerformError> {
        self.durable.perform(self.watched(call)).await
    }

    async fn read(&self, call: Call) -> Result<Recorded, PerformError> {
        self.durable.read(self.watched(call)).await
    }

    fn run(&self) -> &RunId {
        self.durable.run()
    }

    fn capabilities(&self) -> Capabilities {
        self.durable.capabilities()
    }

    async fn open(&self, opening: Opening) -> Result<State, PerformError> {
        self.durable.open(opening).await
    }

    async fn sleep(&self, key: CallKey, duration: Duration, cancel: CancelToken) -> Result<(), PerformError> {
        self.durable.sleep(key, duration, cancel).await
    }

    async fn wait(
        &self,
        key: CallKey,
        deadline: Option<Duration>,
        cancel: CancelToken,
    ) -> Result<Signal, PerformError> {
        self.durable.wait(key, deadline, cancel).await
    }

    async fn publish(&self, milestone: Milestone) -> Result<(), PerformError> {
        self.durable.publish(milestone).await
    }

    async fn state(&self) -> Result<State, PerformError> {
        self.durable.state().await
    }

    async fn history(&self) -> Result<Vec<Record>, PerformError> {
        self.durable.history().await
    }

    async fn close(&self) {
        self.durable.close().await;
    }
}
