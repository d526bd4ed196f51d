use std::time::Duration;

use tokio::time::Instant;

use crate::conformance::Checked;

/// When a condition that must come true counts as missed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The wait for a condition that must come true: `while !holds { patience.wait().await? }`.
pub(crate) struct Patience {
    what: String,
    begun: Instant,
}

impl Patience {
    /// A wait that begins now, until `what`.
    pub(crate) fn until(what: impl Into<String>) -> Self {
        Self { what: what.into(), begun: Instant::now() }
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
