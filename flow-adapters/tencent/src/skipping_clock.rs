use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_core::{Clock, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// A clock that stands unless somebody waits, and whose waits take no time: real servers answer beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SkippingClock(Arc<AtomicU64>);

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_767_225_600).unwrap() + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (passed, waits) = (self.0.clone(), u64::try_from(duration.as_millis()).unwrap());
        async move {
            passed.fetch_add(waits, Ordering::SeqCst);
        }
        .boxed()
    }
}
