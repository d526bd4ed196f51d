use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flow_core::Clock;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// The fake cloud's time: the machine's, plus what it was advanced by.
///
/// As a [`Clock`] of what is tested, a sleep advances the cloud by itself and ends at once: an adapter that polls meets the end
/// of an update without waiting. So a timer that runs beside the work, as a deadline does, fires at once too: give such code another clock.
#[derive(Debug, Clone)]
pub struct CloudClock {
    origin: Instant,
    advanced_ms: Arc<AtomicU64>,
}

impl CloudClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), advanced_ms: Arc::default() }
    }

    /// Moves the cloud's time ahead, to the millisecond.
    pub fn advance(&self, by: Duration) {
        self.advanced_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// By how much it was advanced.
    pub(super) fn advanced(&self) -> Duration {
        Duration::from_millis(self.advanced_ms.load(Ordering::SeqCst))
    }

    pub(super) fn start_over(&self) {
        self.advanced_ms.store(0, Ordering::SeqCst);
    }
}

impl Clock for CloudClock {
    fn now(&self) -> Timestamp {
        after(Timestamp::now(), self.advanced())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed() + self.advanced()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            clock.advance(duration);
            tokio::task::yield_now().await;
        })
    }
}

/// The moment that lies `by` later; the last one there is, if that is beyond it.
pub(super) fn after(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// As the API writes times: Beijing's, without saying so.
pub(super) fn beijing(moment: Timestamp) -> String {
    let shifted = after(moment, Duration::from_secs(8 * 3600));
    shifted.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advanced_is_added_to_the_machines_time() {
        let clock = CloudClock::new();
        clock.advance(Duration::from_secs(3600));
        let ahead = clock.now().duration_since(Timestamp::now()).as_secs();
        assert!((3599..=3600).contains(&ahead), "{ahead}");
        clock.start_over();
        assert!(clock.now().duration_since(Timestamp::now()).as_secs().abs() <= 1);
    }

    #[test]
    fn times_are_beijings() {
        let midnight = Timestamp::from_second(1_767_225_600).unwrap();
        assert_eq!(beijing(midnight), "2026-01-01 08:00:00");
    }
}
