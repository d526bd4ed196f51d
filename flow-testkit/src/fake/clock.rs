use std::time::Duration;

use flow_core::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

/// A clock on tokio's timer: under `#[tokio::test(start_paused = true)]` minutes pass in no time.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    origin: Instant,
    epoch: Timestamp,
}

impl VirtualClock {
    /// A clock that stands at the first second of 2026.
    #[must_use]
    pub fn new() -> Self {
        let epoch = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { origin: Instant::now(), epoch }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.epoch.checked_add(self.monotonic()).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}
