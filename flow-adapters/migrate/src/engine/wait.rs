//! Waiting for other migrators and for locks.

use std::time::Duration;

use flow_core::{CancelToken, Clock as _, Entropy as _, ErrorKind, StepError, SystemClock, SystemEntropy};

const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Pauses that grow and differ, until a time is up.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    cancel: &'a CancelToken,
    clock: SystemClock,
    until: Duration,
    pause: Duration,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(patience: Duration, cancel: &'a CancelToken) -> Self {
        let clock = SystemClock::new();
        let until = clock.monotonic().saturating_add(patience);
        Self { cancel, clock, until, pause: PAUSE }
    }

    /// Pauses and says whether to try again.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] once that was asked for.
    pub(crate) async fn again(&mut self) -> Result<bool, StepError> {
        let now = self.clock.monotonic();
        if now >= self.until {
            return Ok(false);
        }
        // Half of the pause is chance, so that those who wait do not ask in step.
        let half = self.pause / 2;
        let chance = SystemEntropy.next() % (u64::try_from(half.as_millis()).unwrap_or(u64::MAX) + 1);
        let pause = (half + Duration::from_millis(chance)).min(self.until - now);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        tokio::select! {
            () = self.clock.sleep(pause) => Ok(true),
            () = self.cancel.cancelled() => {
                Err(StepError::new(ErrorKind::Cancelled, "cancelled while waiting for a lock"))
            }
        }
    }
}

/// The key that sqlx 0.9 locks a database's migrations with (`generate_lock_id` of its PostgreSQL and MySQL drivers).
pub(crate) fn sqlx_key(database: &str) -> i64 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    0x3d32_ad9e * i64::from(CRC.checksum(database.as_bytes()))
}
