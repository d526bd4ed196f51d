//! Keeps a lease: renews it in time, and says so at once when it is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::durable::attempt::Background;
use crate::durable::{PerformError, Points};
use crate::error::{Cause, ErrorKind};
use crate::journal::{AcquireError, JournalStore, Lease};

/// How long a cancelled attempt has to say how far it came before it is dropped, where the lease is long enough.
const GRACE: Duration = Duration::from_secs(5);

/// The watch over one lease. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Keeper {
    fate: Arc<Mutex<Option<PerformError>>>,
    lost: CancelToken,
    _task: Background,
}

impl Keeper {
    /// Renews `lease`, taken no earlier than `taken`, at a third of its time to live. Renewals that are refused, late or never
    /// answered end the right to act **before** the lease itself ends: by three quarters of it, and by five sixths where this
    /// watch was itself woken late. What is under way then has its [`grace`], and is over while the lease still lasts.
    ///
    /// A lease lasts from when the store renewed it, which is never earlier than when that was asked for: so time is counted
    /// from there, and not from the answer.
    pub(super) fn watch<J: JournalStore>(
        store: Arc<J>,
        lease: Lease,
        taken: Duration,
        clock: Arc<dyn Clock>,
        points: Points,
    ) -> Self {
        let fate = Arc::new(Mutex::new(None));
        let lost = CancelToken::new();
        let (told, signal) = (fate.clone(), lost.clone());
        let mut renewed = taken;
        let task = Background::spawn(async move {
            let mut due = renewed + lease.ttl / 3;
            let error = loop {
                clock.sleep(due.saturating_sub(clock.monotonic())).await;
                let asked = clock.monotonic();
                let since = asked.saturating_sub(renewed);
                let rest = (lease.ttl * 5 / 6).saturating_sub(since);
                if rest.is_zero() {
                    // Woken too late: somebody else may act by now, so nothing more is waited for.
                    break late();
                }
                let left = (lease.ttl * 2 / 3).saturating_sub(since).max(lease.ttl / 12).min(rest);
                let renewal = tokio::select! {
                    biased;
                    renewal = points.renewal(&lease, store.renew(&lease)) => renewal,
                    () = clock.sleep(left) => Err(AcquireError::Unavailable("no answer in time".into())),
                };
                match renewal {
                    Ok(()) => (renewed, due) = (asked, asked + lease.ttl / 3),
                    Err(AcquireError::Lost { held, current }) => {
                        break PerformError::Superseded { held, current };
                    }
                    Err(error) => {
                        tracing::warn!(run = %lease.run, %error, "the lease could not be renewed");
                        if clock.monotonic().saturating_sub(renewed) >= lease.ttl * 2 / 3 {
                            break late();
                        }
                        due = clock.monotonic() + lease.ttl / 3;
                    }
                }
            };
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            signal.cancel();
        });
        Self { fate, lost, _task: task }
    }

    /// Cancelled when the lease is lost.
    pub(super) const fn lost(&self) -> &CancelToken {
        &self.lost
    }

    /// Why the lease is lost, if it is.
    pub(super) fn fate(&self) -> Option<PerformError> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long what is under way has, once the right to act has ended, to say how far it came: never beyond the lease itself.
pub(super) fn grace(ttl: Duration) -> Duration {
    GRACE.min(ttl / 6)
}

fn late() -> PerformError {
    PerformError::Unavailable(Cause::new(ErrorKind::Unavailable, "the lease could not be renewed in time"))
}
