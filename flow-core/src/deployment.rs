//! One run while it stands at a stage.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::durable::{Durable, Milestone, PerformError};
use crate::engine::{Ending, Run};
use crate::error::{Cause, ErrorKind};
use crate::name::Actor;
use crate::report::Report;
use crate::stage::{Complete, Position, Stage, StageName};
use crate::stopped::{Parked, Problem, StageError, Undone};
use crate::work::Work;

/// A begun run with what makes it durable.
#[derive(Clone)]
pub(crate) struct Begun {
    pub(crate) run: Arc<Run>,
    pub(crate) durable: Arc<dyn Durable>,
}

impl Begun {
    /// Records a decision that ends this owner's part unless it stands: the run is given back where it cannot be recorded.
    pub(crate) async fn record(&self, milestone: Milestone) -> Result<(), PerformError> {
        let recorded = self.durable.publish(milestone).await;
        if recorded.is_err() {
            self.durable.close().await;
        }
        recorded
    }
}

/// One run, standing **at** stage `S`.
///
/// Its only way on is [`run`](Self::run) with work for `S`, which yields a deployment at the next stage; so a stage can
/// be neither skipped nor run twice. Dropping it loses nothing: the run is resumed by its id.
#[must_use = "a deployment goes on only when it is run; dropped, it rests until somebody resumes it"]
pub struct Deployment<S: Position> {
    begun: Begun,
    report: Option<Report>,
    position: PhantomData<fn() -> S>,
}

impl<S: Position> fmt::Debug for Deployment<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("run", self.begun.durable.run()).finish_non_exhaustive()
    }
}

impl<S: Position> Deployment<S> {
    pub(crate) fn at(begun: Begun) -> Self {
        Self { begun, report: None, position: PhantomData }
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> &crate::RunId {
        self.begun.durable.run()
    }
}

impl Deployment<Complete> {
    /// The report of the finished run.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report.unwrap_or_else(|| Report::of(Vec::new()))
    }
}

impl<S: Stage> Deployment<S> {
    /// Carries out the work of stage `S` and moves on.
    ///
    /// Cancelling or dropping the returned future rests the run; it is resumed by its id. Asking the setting's token to
    /// cancel starts the undo instead.
    pub fn run(self, work: Work<S>) -> StageRun<S> {
        StageRun { inner: self.carry_out(work).boxed() }
    }

    async fn carry_out(self, work: Work<S>) -> Result<Deployment<S::Next>, Failed<S>> {
        let begun = self.begun.clone();
        let durable = &*begun.durable;
        if !begun.run.owns(S::NAME, &work.groups) {
            let error = StageError { stage: S::NAME, problem: Problem::ForeignWork };
            return Err(Failed { error, state: FailedState::Held(self) });
        }
        let failure = match begun.run.release(durable).await {
            Ok(()) => match begun.run.stage(durable, S::NAME).await {
                Ok(()) => {
                    let report =
                        if S::NAME.next().is_none() { begun.run.report(durable).await } else { None };
                    return Ok(Deployment { begun, report, position: PhantomData });
                }
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let state = match begun.run.fail(durable, &failure).await {
            Ok(Ending::Held) => FailedState::Held(self),
            Ok(Ending::RolledBack(report)) => FailedState::RolledBack(report),
            Ok(Ending::Parked(parked)) => FailedState::Parked(parked),
            Err(cause) => FailedState::HandedOver(cause),
        };
        Err(Failed { error: StageError { stage: S::NAME, problem: Problem::Call(failure) }, state })
    }

    /// Gives the run up: everything that it did is undone.
    ///
    /// # Errors
    /// [`PerformError`] when the engine had to hand over; the undo goes on when the run is resumed.
    pub async fn roll_back(self, by: &Actor, reason: &str) -> Result<Undone, PerformError> {
        self.begun.run.turn_back(&*self.begun.durable, given_up(by, reason)).await
    }
}

pub(crate) fn given_up(by: &Actor, reason: &str) -> Cause {
    Cause::new(ErrorKind::Cancelled, format!("given up by {by}: {reason}"))
}

/// The work of one stage under way: resolves to the deployment at the next stage.
#[must_use = "nothing happens until it is awaited"]
pub struct StageRun<S: Stage> {
    inner: BoxFuture<'static, Result<Deployment<S::Next>, Failed<S>>>,
}

impl<S: Stage> fmt::Debug for StageRun<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageRun").field("stage", &S::NAME).finish_non_exhaustive()
    }
}

impl<S: Stage> Future for StageRun<S> {
    type Output = Result<Deployment<S::Next>, Failed<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.poll_unpin(cx)
    }
}

/// A stage that failed, and what became of the run.
#[derive(Debug)]
pub struct Failed<S: Stage> {
    /// What failed.
    pub error: StageError,
    /// What became of the run.
    pub state: FailedState<S>,
}

impl<S: Stage> Failed<S> {
    /// The stage that failed.
    #[must_use]
    pub const fn at(&self) -> StageName {
        self.error.stage
    }
}

impl<S: Stage> fmt::Display for Failed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let became = match &self.state {
            FailedState::Held(_) => "the run is held",
            FailedState::RolledBack(_) => "everything was rolled back",
            FailedState::Parked(_) => "not everything could be rolled back",
            FailedState::HandedOver(_) => "the run was handed over",
        };
        write!(f, "{}; {became}", self.error)
    }
}

impl<S: Stage> std::error::Error for Failed<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// What became of a run whose stage failed.
#[derive(Debug)]
pub enum FailedState<S: Stage> {
    /// Everything stands as it is: run the stage again, roll back, or leave it for later. Where the error has
    /// [violations](StageError::violations) running it again finds the same ones: only rolling back leads on.
    Held(Deployment<S>),
    /// Everything is undone.
    RolledBack(Report),
    /// Something could not be undone.
    Parked(Parked),
    /// Another owner, another version or another time must go on: nothing was undone from here.
    HandedOver(PerformError),
}
