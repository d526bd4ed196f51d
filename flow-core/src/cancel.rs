//! Asking work that is under way to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// A shared request to stop. Once made it stays made.
///
/// ```
/// let token = flow_core::CancelToken::new();
/// let watcher = token.clone();
/// token.cancel();
/// assert!(watcher.is_cancelled());
/// ```
#[derive(Debug, Clone)]
pub struct CancelToken {
    own: Arc<watch::Sender<bool>>,
    parent: Option<Arc<CancelToken>>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self { own: Arc::new(watch::Sender::new(false)), parent: None }
    }

    /// A token that is cancelled with this one, and can be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { parent: Some(Arc::new(self.clone())), ..Self::new() }
    }

    /// Asks everyone who holds this token to stop. Repeating it changes nothing.
    pub fn cancel(&self) {
        self.own.send_replace(true);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.own.borrow() || self.parent.as_ref().is_some_and(|parent| parent.is_cancelled())
    }

    /// Waits until somebody asks to stop. Cancel safe.
    pub async fn cancelled(&self) {
        let mut lineage = Vec::new();
        let mut token = Some(self);
        while let Some(current) = token {
            let mut seen = current.own.subscribe();
            // The sender lives in the token, so the channel cannot close while we wait.
            lineage.push(Box::pin(async move { seen.wait_for(|cancelled| *cancelled).await.map(drop) }));
            token = current.parent.as_deref();
        }
        let _ = futures::future::select_all(lineage).await;
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}
