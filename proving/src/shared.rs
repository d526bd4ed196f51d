use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use crate::Outside;

/// What the tests of one binary share: started by the first that asks, and ended with the last that holds it.
///
/// A `static` that held it itself would never be dropped, and would leave a server behind.
#[derive(Debug)]
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// Nothing is started yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// What runs already, else what `start` starts. Who asks meanwhile waits.
    ///
    /// # Errors
    /// `start`'s own.
    pub async fn get<F>(&self, start: impl FnOnce() -> F) -> Outside<Arc<T>>
    where
        F: Future<Output = Outside<T>>,
    {
        let mut held = self.0.lock().await;
        if let Some(running) = held.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(start().await?);
        *held = Arc::downgrade(&started);
        Ok(started)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}
