use std::time::{Duration, Instant};

use crate::conformance::Checked;

/// Why a fixture could not look at the world or arrange something in it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

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

/// The error of what must have been refused.
pub(crate) fn refused<T: std::fmt::Debug, E>(what: &str, ended: Result<T, E>) -> Result<E, Failure> {
    match ended {
        Ok(done) => Err(format!("{what} was not refused: {done:?}").into()),
        Err(error) => Ok(error),
    }
}

/// An error with all that caused it, as people read it.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
