//! Points at which a test makes [`Journaled`](crate::durable::Journaled) fail. A build without the feature `testing` has none.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::durable::{Attempt, Effect};
use crate::error::{ErrorKind, StepError};
use crate::journal::{AcquireError, AppendError, Entry, Lease, Recorded};
use crate::machine::CallKey;
use crate::permit::Fence;

/// What every fault says of itself, so that a program can be searched for it.
const PUT_BY_A_TEST: &str = "a fault that a test put there";

/// What a test puts at the points of one [`Journaled`](crate::durable::Journaled): `flow_testkit::fault::Faults` is one.
///
/// These are the points, each with what it is about; a strict journal store has others, about the run, such as `journal.append`.
///
/// | point | about | what can go wrong | what it does |
/// |---|---|---|---|
/// | `engine.call` | the call's key | everything | what it says: the effect is refused, in doubt, delayed, ... |
/// | `engine.lease` | the call's key | `Refused` | the lease is lost while the effect is under way |
/// | `engine.append` | the record, as [`Entry`] shows it | all but `Repeated` | what it says; refused is unavailable, whatever the kind |
/// | `engine.room` | the record | `Refused` | there is no room for it |
/// | `engine.superseded` | the record | `Refused` | another owner has taken the run before it is written |
/// | `engine.renew` | the run | `Refused`, `Hung` | the renewal is refused as unavailable, or never returns |
pub trait FaultPoints: Send + Sync {
    /// What goes wrong at this visit of `point`, if anything. Only what the point `can` do fires.
    fn visit(&self, point: &str, about: &str, can: fn(PointFault) -> bool) -> Option<PointFault>;

    /// Says that the process dies now. Whoever drives it drops it; the returned future never ends.
    fn crash(&self) -> BoxFuture<'static, ()>;
}

const fn anything(_: PointFault) -> bool {
    true
}

const fn refusal(fault: PointFault) -> bool {
    matches!(fault, PointFault::Refused(_))
}

/// A batch that is written twice does not follow itself.
const fn once(fault: PointFault) -> bool {
    !matches!(fault, PointFault::Repeated)
}

const fn refusal_or_silence(fault: PointFault) -> bool {
    matches!(fault, PointFault::Refused(_) | PointFault::Hung)
}

/// What goes wrong at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PointFault {
    /// It is refused with this kind before anything happens.
    Refused(ErrorKind),
    /// It happens, and nobody is told.
    InDoubt,
    /// It begins this much later.
    Delayed(Duration),
    /// It never returns, and nothing happens.
    Hung,
    /// The process dies before it happens.
    CrashBefore,
    /// The process dies when it has happened.
    CrashAfter,
    /// It happens twice.
    Repeated,
}

/// The points of one owner.
#[derive(Clone, Default)]
pub(super) struct Points {
    faults: Option<Arc<dyn FaultPoints>>,
    lost: Arc<AtomicBool>,
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Points").finish_non_exhaustive()
    }
}

impl Points {
    pub(super) fn new(faults: Arc<dyn FaultPoints>) -> Self {
        Self { faults: Some(faults), lost: Arc::default() }
    }

    /// One attempt of the effect called `key`.
    pub(super) fn effect(
        &self,
        key: &CallKey,
        effect: &Effect,
        attempt: Attempt,
        clock: &Arc<dyn Clock>,
    ) -> BoxFuture<'static, Result<Recorded, StepError>> {
        let Some(faults) = self.faults.clone() else { return effect(attempt) };
        let key = key.to_string();
        if faults.visit("engine.lease", &key, refusal).is_some() {
            self.lost.store(true, Ordering::SeqCst);
            return std::future::pending().boxed();
        }
        let Some(fault) = faults.visit("engine.call", &key, anything) else { return effect(attempt) };
        let refused = move |kind| Err(StepError::new(kind, PUT_BY_A_TEST));
        let again = attempt.clone();
        let first = effect(attempt);
        match fault {
            PointFault::Refused(kind) => async move { refused(kind) }.boxed(),
            PointFault::InDoubt => async move {
                first.await?;
                refused(ErrorKind::Unknown)
            }
            .boxed(),
            PointFault::Delayed(delay) => clock.sleep(delay).then(|()| first).boxed(),
            PointFault::Hung => std::future::pending().boxed(),
            PointFault::CrashBefore => async move { dead(&*faults).await }.boxed(),
            PointFault::CrashAfter => async move {
                let _ = first.await;
                dead(&*faults).await
            }
            .boxed(),
            PointFault::Repeated => {
                let second = effect(again);
                async move {
                    first.await?;
                    second.await
                }
                .boxed()
            }
        }
    }

    /// One append of `entries`, carried out by `write`.
    pub(super) async fn append(
        &self,
        lease: &Lease,
        entries: &[(Timestamp, Entry)],
        clock: &Arc<dyn Clock>,
        write: impl Future<Output = Result<(), AppendError>> + Send,
    ) -> Result<(), AppendError> {
        let Some(faults) = self.faults.clone() else { return write.await };
        let visit = |point: &str, can: fn(PointFault) -> bool| {
            entries.iter().find_map(|(_, entry)| faults.visit(point, &entry.to_string(), can))
        };
        if visit("engine.superseded", refusal).is_some() {
            self.lost.store(true, Ordering::SeqCst);
            return Err(AppendError::Superseded { held: lease.fence, current: Fence(lease.fence.0 + 1) });
        }
        if visit("engine.room", refusal).is_some() {
            return Err(AppendError::Full(PUT_BY_A_TEST.into()));
        }
        let unavailable = || Err(AppendError::Unavailable(PUT_BY_A_TEST.into()));
        match visit("engine.append", once) {
            None | Some(PointFault::Repeated) => write.await,
            Some(PointFault::Refused(_)) => unavailable(),
            Some(PointFault::InDoubt) => {
                write.await?;
                unavailable()
            }
            Some(PointFault::Delayed(delay)) => {
                clock.sleep(delay).await;
                write.await
            }
            Some(PointFault::Hung) => std::future::pending().await,
            Some(PointFault::CrashBefore) => dead(&*faults).await,
            Some(PointFault::CrashAfter) => {
                write.await?;
                dead(&*faults).await
            }
        }
    }

    /// One renewal of `lease`, carried out by `renew`.
    pub(super) async fn renewal(
        &self,
        lease: &Lease,
        renew: impl Future<Output = Result<(), AcquireError>> + Send,
    ) -> Result<(), AcquireError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(AcquireError::Lost { held: lease.fence, current: Fence(lease.fence.0 + 1) });
        }
        let visit = |faults: &Arc<dyn FaultPoints>| {
            faults.visit("engine.renew", lease.run.name().as_str(), refusal_or_silence)
        };
        match self.faults.as_ref().and_then(visit) {
            None => renew.await,
            Some(PointFault::Hung) => std::future::pending().await,
            Some(_) => Err(AcquireError::Unavailable(PUT_BY_A_TEST.into())),
        }
    }
}

/// Waits for the end that was announced.
async fn dead<T>(faults: &dyn FaultPoints) -> T {
    faults.crash().await;
    std::future::pending().await
}
