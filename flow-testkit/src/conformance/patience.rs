use std::time::{Duration, Instant};

use crate::conformance::Checked;

/// When a condition that must come true counts as missed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The wait for a condition that must come true: `while !holds { patience.wait().await? }`.
pub(crate) struct Patience {
    what: &'static str,
    begun: Instant,
}

impl Patience {
    /// A wait that begins now, until `what`.
    pub(crate) fn until(what: &'static str) -> Self {
        Self { what, begun: Instant::now() }
    }

    /// Waits a moment before the condition is looked at again; fails when it never came true.
    pub(crate) async fn wait(&self) -> Checked {
        if self.begun.elapsed() > PATIENCE {
            return Err(format!("waited for {PATIENCE:?} in vain until {}", self.what).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }
}
