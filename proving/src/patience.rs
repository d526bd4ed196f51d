use std::time::{Duration, Instant};

use crate::Outside;

/// How long anything is waited for. Only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Waits until `look` finds something.
///
/// # Errors
/// `look`'s own, and where nothing was found within [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Outside<Option<T>>) -> Outside<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
