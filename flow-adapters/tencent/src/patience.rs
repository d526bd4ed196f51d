use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Clock, Entropy, SystemEntropy};
use futures::future::{BoxFuture, Either, select};

use crate::{ApiError, Failure};

/// How often one call is tried, the first time counted.
const TRIES: u32 = 8;

/// The longest wait before the second try; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// No further try begins this long after the first.
const DEADLINE: Duration = Duration::from_secs(120);

/// When a call is tried again, and how long it waits before: random, up to a ceiling that doubles ("full jitter").
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Patience {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entropy: Arc::new(SystemEntropy) }
    }

    #[cfg(test)]
    pub(crate) fn by_chance(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Repeats `exchange` while it was throttled or not carried out for another passing reason. What is in doubt is never repeated.
    pub(crate) async fn carry_out<'a, T>(
        &self,
        subject: Subject<'_>,
        cancel: &CancelToken,
        mut exchange: impl FnMut() -> BoxFuture<'a, Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let begun = self.clock.monotonic();
        let mut tried = 0;
        loop {
            let error = match unless_cancelled(subject, cancel, exchange()).await? {
                Err(error) if matches!(error.failure(), Failure::Throttled | Failure::Transient) => error,
                ended => return ended,
            };
            tried += 1;
            let wait = self.wait_after(tried);
            if tried == TRIES || self.clock.monotonic().saturating_sub(begun) + wait > DEADLINE {
                return Err(error);
            }
            unless_cancelled(subject, cancel, self.clock.sleep(wait)).await?;
        }
    }

    /// Waits as before another try, for whoever reads a state back.
    pub(crate) async fn pause(
        &self,
        subject: Subject<'_>,
        cancel: &CancelToken,
        tried: u32,
    ) -> Result<(), ApiError> {
        unless_cancelled(subject, cancel, self.clock.sleep(self.wait_after(tried))).await
    }

    fn wait_after(&self, tried: u32) -> Duration {
        let doubled = FIRST.saturating_mul(1 << tried.saturating_sub(1).min(16));
        let ceiling = u64::try_from(doubled.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.entropy.next() % ceiling.saturating_add(1))
    }
}

/// Whose call it is, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) service: &'a str,
    pub(crate) action: &'a str,
}

impl Subject<'_> {
    pub(crate) fn error(self, failure: Failure, message: impl Into<String>) -> ApiError {
        ApiError::new(failure, self.service, self.action, message)
    }
}

async fn unless_cancelled<T>(
    subject: Subject<'_>,
    cancel: &CancelToken,
    work: BoxFuture<'_, T>,
) -> Result<T, ApiError> {
    let cancelled = || subject.error(Failure::Cancelled, "it was asked to stop");
    if cancel.is_cancelled() {
        return Err(cancelled());
    }
    match select(work, Box::pin(cancel.cancelled())).await {
        Either::Left((value, _)) => Ok(value),
        Either::Right(_) => Err(cancelled()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use flow_core::Timestamp;
    use futures::FutureExt as _;

    use super::*;
    use crate::skipping_clock::SkippingClock;

    /// Always the ceiling, or always nothing.
    #[derive(Debug)]
    struct Always(u64);

    impl Entropy for Always {
        fn next(&self) -> u64 {
            self.0
        }
    }

    /// One less than the least common multiple of 501, 1001, 2001, 4001, 8001 and 15001: the remainder is the ceiling each time.
    fn longest() -> Arc<Always> {
        Arc::new(Always(501 * 1001 * 667 * 4001 * 381 * 2143 - 1))
    }

    const SUBJECT: Subject<'_> = Subject { service: "scf", action: "GetFunction" };

    /// What came of a call whose first tries end with `failures`, how often it was tried, and how long it took.
    async fn tried(failures: &[Failure], entropy: Arc<dyn Entropy>) -> (Result<(), Failure>, u32, Duration) {
        let clock = SkippingClock::default();
        let patience = Patience::new(Arc::new(clock.clone())).by_chance(entropy);
        let (left, tries) = (Mutex::new(failures.iter()), AtomicU32::new(0));
        let ended = patience
            .carry_out(SUBJECT, &CancelToken::new(), || {
                tries.fetch_add(1, Ordering::SeqCst);
                let failure = left.lock().unwrap().next();
                async move { failure.map_or(Ok(()), |failure| Err(SUBJECT.error(*failure, ""))) }.boxed()
            })
            .await;
        let tries = tries.load(Ordering::SeqCst);
        (ended.map_err(|error| error.failure()), tries, clock.monotonic())
    }

    #[tokio::test]
    async fn throttled_twice_and_then_fine_is_three_tries() {
        let (ended, tries, took) = tried(&[Failure::Throttled, Failure::Throttled], longest()).await;
        assert_eq!((ended, tries, took), (Ok(()), 3, Duration::from_millis(1500)));
    }

    #[tokio::test]
    async fn the_eighth_try_is_the_last_and_waits_double_up_to_fifteen_seconds() {
        let (ended, tries, took) = tried(&[Failure::Transient; 9], longest()).await;
        assert_eq!((ended, tries, took), (Err(Failure::Transient), 8, Duration::from_millis(45_500)));
        let (ended, tries, took) = tried(&[Failure::Transient; 7], Arc::new(Always(0))).await;
        assert_eq!((ended, tries, took), (Ok(()), 8, Duration::ZERO));
    }

    #[tokio::test]
    async fn what_is_in_doubt_or_refused_is_tried_once() {
        for failure in [Failure::InDoubt, Failure::Invalid, Failure::Busy, Failure::Auth, Failure::ClockSkew]
        {
            let (ended, tries, _) = tried(&[failure], longest()).await;
            assert_eq!((ended, tries), (Err(failure), 1));
        }
    }

    #[tokio::test]
    async fn a_call_ends_as_soon_as_it_is_cancelled() {
        let patience = Patience::new(Arc::new(SkippingClock::default()));
        let cancel = CancelToken::new();
        let tries = AtomicU32::new(0);
        let ended = patience.carry_out::<()>(SUBJECT, &cancel, || {
            tries.fetch_add(1, Ordering::SeqCst);
            let cancel = cancel.clone();
            async move {
                cancel.cancel();
                futures::future::pending().await
            }
            .boxed()
        });
        let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert_eq!(ended.unwrap().map_err(|error| error.failure()), Err(Failure::Cancelled));
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        let again = patience.carry_out(SUBJECT, &cancel, || async { Ok(()) }.boxed()).await;
        assert_eq!(again.map_err(|error| error.failure()), Err(Failure::Cancelled));
    }

    /// Stands, and is cancelled while somebody waits.
    #[derive(Debug)]
    struct Standing(CancelToken);

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            self.0.cancel();
            futures::future::pending().boxed()
        }
    }

    #[tokio::test]
    async fn a_wait_ends_as_soon_as_the_call_is_cancelled() {
        let soon = Duration::from_secs(10);
        let cancel = CancelToken::new();
        let patience = Patience::new(Arc::new(Standing(cancel.clone())));
        let throttled = || async { Err::<(), _>(SUBJECT.error(Failure::Throttled, "slow")) }.boxed();
        let ended = tokio::time::timeout(soon, patience.carry_out(SUBJECT, &cancel, throttled)).await;
        assert_eq!(ended.unwrap().map_err(|error| error.failure()), Err(Failure::Cancelled));

        let cancel = CancelToken::new();
        let patience = Patience::new(Arc::new(Standing(cancel.clone())));
        let ended = tokio::time::timeout(soon, patience.pause(SUBJECT, &cancel, 1)).await;
        assert_eq!(ended.unwrap().map_err(|error| error.failure()), Err(Failure::Cancelled));
    }

    #[tokio::test]
    async fn no_try_begins_after_the_deadline() {
        let clock = SkippingClock::default();
        let patience = Patience::new(Arc::new(clock.clone())).by_chance(longest());
        let (tries, never) = (AtomicU32::new(0), CancelToken::new());
        let ended = patience.carry_out::<()>(SUBJECT, &never, || {
            tries.fetch_add(1, Ordering::SeqCst);
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(50)).await;
                Err(SUBJECT.error(Failure::Transient, "slow"))
            }
            .boxed()
        });
        assert_eq!(ended.await.map_err(|error| error.failure()), Err(Failure::Transient));
        assert_eq!(tries.load(Ordering::SeqCst), 3);
    }
}
