//! Statements that can be interrupted.

use std::future::Future;

use flow_core::{CancelToken, StepError};
use futures::future::{Either, select};

/// Awaits `statement`. Once `cancel` is asked, `interrupt` asks the server to stop it, and its end is awaited all the same: what it
/// left is then known.
pub(super) async fn interruptible<T>(
    statement: impl Future<Output = T>,
    cancel: &CancelToken,
    interrupt: impl Future<Output = Result<(), StepError>>,
) -> T {
    let statement = std::pin::pin!(statement);
    let cancelled = std::pin::pin!(cancel.cancelled());
    match select(statement, cancelled).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), statement)) => {
            // A statement that ended meanwhile, or a server that is gone: the statement's own end says which.
            let _ = interrupt.await;
            statement.await
        }
    }
}
