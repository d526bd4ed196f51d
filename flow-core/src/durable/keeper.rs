//! Keeps a lease: renews it in time, and says so at once when it is lost.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::durable::attempt::Background;
use crate::durable::{PerformError, Points};
use crate::error::{Cause, ErrorKind};
use crate::journal::{AcquireError, JournalStore, Lease};

/// The watch over one lease. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Keeper {
    fate: Arc<Mutex<Option<PerformError>>>,
    lost: CancelToken,
    _task: Background,
}

impl Keeper {
    /// Renews `lease` at a third of its time to live. A renewal that is late, or that never returns, ends the right to act
    /// **before** the lease itself ends, so that nobody else can have begun meanwhile.
    pub(super) fn watch<J: JournalStore>(
        store: Arc<J>,
        lease: Lease,
        clock: Arc<dyn Clock>,
        points: Points,
    ) -> Self {
        let fate = Arc::new(Mutex::new(None));
        let lost = CancelToken::new();
        let (told, signal) = (fate.clone(), lost.clone());
        let mut renewed = clock.monotonic();
        let task = Background::spawn(async move {
            let error = loop {
                clock.sleep(lease.ttl / 3).await;
                let since = clock.monotonic().saturating_sub(renewed);
                // What is under way has its grace after that, and the lease still lasts then. A watch that was itself woken
                // late asks at least once.
                let left = (lease.ttl * 2 / 3).saturating_sub(since).max(lease.ttl / 4);
                let renewal = tokio::select! {
                    biased;
                    renewal = points.renewal(&lease, store.renew(&lease)) => renewal,
                    () = clock.sleep(left) => Err(AcquireError::Unavailable("no answer in time".into())),
                };
                match renewal {
                    Ok(()) => renewed = clock.monotonic(),
                    Err(AcquireError::Lost { held, current }) => {
                        break PerformError::Superseded { held, current };
                    }
                    Err(error) => {
                        tracing::warn!(run = %lease.run, %error, "the lease could not be renewed");
                        if clock.monotonic().saturating_sub(renewed) >= lease.ttl * 2 / 3 {
                            let message = "the lease could not be renewed in time";
                            break PerformError::Unavailable(Cause::new(ErrorKind::Unavailable, message));
                        }
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
