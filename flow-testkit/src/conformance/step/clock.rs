use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_core::Clock;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// A clock whose waits end at once: what still takes time does not wait through it.
#[derive(Debug, Clone, Default)]
pub(super) struct Instantly(Arc<AtomicU64>);

impl Clock for Instantly {
    fn now(&self) -> Timestamp {
        let epoch = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        epoch.checked_add(self.monotonic()).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (passed, waits) = (self.0.clone(), u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        async move {
            tokio::task::yield_now().await;
            passed.fetch_add(waits, Ordering::SeqCst);
        }
        .boxed()
    }
}
