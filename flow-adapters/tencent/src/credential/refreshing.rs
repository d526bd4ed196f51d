use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{Clock, ErrorKind, StepError, Timestamp};
use futures::future::{BoxFuture, Either, select};
use jiff::SignedDuration;
use tokio::sync::Mutex;

use super::{Credential, Credentials};

/// A credential is renewed this long before it expires: longer than any request takes.
const MARGIN: SignedDuration = SignedDuration::from_secs(300);

/// How long a fetch may take, while every request waits for it.
const WITHIN: Duration = Duration::from_secs(60);

/// A temporary credential and the moment from which it is refused.
#[derive(Debug, Clone)]
pub struct Expiring {
    /// The credential, with its token.
    pub credential: Credential,
    /// When it ends.
    pub expires: Timestamp,
}

type Fetch = dyn Fn() -> BoxFuture<'static, Result<Expiring, StepError>> + Send + Sync;

/// Temporary credentials, fetched again five minutes before each ends.
///
/// Fetches one at a time, however many requests wait for it. A fetch that ends badly is of no consequence as long as the credential at
/// hand is still accepted: the next request tries again. One that takes longer than 60 seconds by the clock is given up and counts as
/// [`Unavailable`](ErrorKind::Unavailable).
pub struct Refreshing {
    fetch: Box<Fetch>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Expiring>>,
}

impl Refreshing {
    /// Credentials from `fetch`, which asks whoever hands them out (STS, a metadata service, a vault).
    pub fn new(
        fetch: impl Fn() -> BoxFuture<'static, Result<Expiring, StepError>> + Send + Sync + 'static,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { fetch: Box::new(fetch), clock, current: Mutex::default() }
    }
}

#[async_trait]
impl Credentials for Refreshing {
    async fn credential(&self) -> Result<Credential, StepError> {
        let mut current = self.current.lock().await;
        let left = |held: &Expiring| held.expires.duration_since(self.clock.now());
        if let Some(held) = current.as_ref().filter(|held| left(held) > MARGIN) {
            return Ok(held.credential.clone());
        }
        let fetched = match select((self.fetch)(), self.clock.sleep(WITHIN)).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(_) => {
                Err(StepError::new(ErrorKind::Unavailable, "no credential came in 60 seconds"))
            }
        };
        match fetched {
            Ok(fresh) => Ok(current.insert(fresh).credential.clone()),
            Err(error) => match current.as_ref().filter(|held| left(held).is_positive()) {
                Some(held) => Ok(held.credential.clone()),
                None => Err(error),
            },
        }
    }
}

impl fmt::Debug for Refreshing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt as _;

    use super::*;
    use crate::skipping_clock::SkippingClock;

    /// Tokens that last an hour, numbered; from the third on there are none.
    fn refreshing(clock: &SkippingClock) -> Refreshing {
        let (fetched, own) = (AtomicU64::new(0), clock.clone());
        let fetch = move || {
            let number = fetched.fetch_add(1, Ordering::SeqCst) + 1;
            let expires = own.now() + Duration::from_secs(3600);
            async move {
                if number > 2 {
                    return Err(StepError::new(ErrorKind::Unavailable, "no more"));
                }
                let credential = Credential::new("id", "key", Some(format!("token-{number}")))?;
                Ok(Expiring { credential, expires })
            }
            .boxed()
        };
        Refreshing::new(fetch, Arc::new(clock.clone()))
    }

    async fn token(credentials: &Refreshing) -> Result<String, ErrorKind> {
        let credential = credentials.credential().await.map_err(|error| error.kind())?;
        Ok(credential.token().unwrap().expose().to_owned())
    }

    #[tokio::test]
    async fn a_token_is_kept_until_five_minutes_before_its_end_and_the_last_one_until_its_end() {
        let clock = SkippingClock::default();
        let credentials = refreshing(&clock);
        assert_eq!(token(&credentials).await.as_deref(), Ok("token-1"));
        clock.sleep(Duration::from_secs(3299)).await;
        assert_eq!(token(&credentials).await.as_deref(), Ok("token-1"));
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(token(&credentials).await.as_deref(), Ok("token-2"));
        clock.sleep(Duration::from_secs(3599)).await;
        assert_eq!(
            token(&credentials).await.as_deref(),
            Ok("token-2"),
            "the fetch fails, the token still holds"
        );
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(token(&credentials).await, Err(ErrorKind::Unavailable));
    }

    #[tokio::test]
    async fn a_fetch_without_an_end_is_given_up_after_a_minute_and_the_token_at_hand_serves() {
        let clock = SkippingClock::default();
        let (fetched, ends) = (AtomicU64::new(0), clock.now() + Duration::from_secs(301));
        let fetch = move || {
            let first = fetched.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if !first {
                    futures::future::pending::<()>().await;
                }
                let credential = Credential::new("id", "key", Some("token-1".into()))?;
                Ok(Expiring { credential, expires: ends })
            }
            .boxed()
        };
        let credentials = Refreshing::new(fetch, Arc::new(clock.clone()));
        assert_eq!(token(&credentials).await.as_deref(), Ok("token-1"));
        for (seconds, expected) in
            [(100, Ok("token-1")), (200, Err(&ErrorKind::Unavailable)), (0, Err(&ErrorKind::Unavailable))]
        {
            clock.sleep(Duration::from_secs(seconds)).await;
            let before = clock.monotonic();
            let token = tokio::time::timeout(Duration::from_secs(10), token(&credentials)).await.unwrap();
            assert_eq!((token.as_deref(), clock.monotonic() - before), (expected, WITHIN));
        }
    }

    #[tokio::test]
    async fn many_who_wait_cause_one_fetch() {
        let credentials = refreshing(&SkippingClock::default());
        let all = futures::future::join_all((0..20).map(|_| token(&credentials))).await;
        assert!(all.iter().all(|token| token.as_deref() == Ok("token-1")), "{all:?}");
    }
}
