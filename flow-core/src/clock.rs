//! Time and chance behind traits, so that tests own both.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

/// Where time comes from. Every wait of the library goes through it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day, for records that people read. It may jump; nothing is measured with it.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment in this process. It never runs backwards.
    fn monotonic(&self) -> Duration;

    /// Waits for `duration`. Dropping the future ends the wait.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's own clock, on tokio's timer.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Where chance comes from: run ids and jitter.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// The next 64 random bits. Not for keys.
    fn next(&self) -> u64;
}

/// The operating system's randomness, through the standard library's hash keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    }
}
