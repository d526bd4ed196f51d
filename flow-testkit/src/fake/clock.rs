use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flow_core::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock on tokio's timer: under `#[tokio::test(start_paused = true)]` minutes pass in no time.
///
/// Its time of day can [jump](Self::jump_back), as that of a machine whose clock is set: monotonic time and sleeps go on as if
/// nothing had happened. Clones share their jumps.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    origin: Instant,
    epoch: Timestamp,
    jumped_ms: Arc<AtomicI64>,
}

impl VirtualClock {
    /// A clock that stands at the first second of 2026.
    #[must_use]
    pub fn new() -> Self {
        let epoch = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { origin: Instant::now(), epoch, jumped_ms: Arc::default() }
    }

    /// Sets the time of day back, to the millisecond.
    pub fn jump_back(&self, by: Duration) {
        self.jumped_ms.fetch_sub(milliseconds(by), Ordering::SeqCst);
    }

    /// Sets the time of day ahead, to the millisecond.
    pub fn jump_ahead(&self, by: Duration) {
        self.jumped_ms.fetch_add(milliseconds(by), Ordering::SeqCst);
    }

    /// Whether time passes by itself only while everybody waits: tokio's time is paused. Elsewhere a test waits in real time.
    #[must_use]
    pub fn is_paused() -> bool {
        let (real, seen) = (std::time::Instant::now(), Instant::now());
        while real.elapsed().is_zero() {
            std::hint::spin_loop();
        }
        // Paused time never moves between two looks without a wait between them; the machine's has moved by now.
        seen.elapsed().is_zero()
    }
}

/// Far beyond any test: 250 years at most.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(8_000_000_000_000)
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let jumped = SignedDuration::from_millis(self.jumped_ms.load(Ordering::SeqCst));
        let straight = self.epoch.checked_add(self.monotonic());
        straight.and_then(|now| now.checked_add(jumped)).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}
