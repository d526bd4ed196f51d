//! Work on files, off the runtime's own threads, that stops when nobody waits for it any more.

use std::path::Path;

use flow_core::{CancelToken, Permit, StepError};

use super::directory::{Directory, Readers};
use crate::os::CancelOnDrop;
pub(super) use crate::os::go_on;

/// Looks at files and changes nothing.
pub(super) async fn look<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work).await.map_err(ended_early)?
}

/// Changes files below `root`, which is made where it is missing and held against other writers meanwhile.
///
/// The token that `work` gets is cancelled with the permit, and also when this future is dropped: a blocking thread cannot
/// be stopped from outside, and one that ran on would write into what an undo restores. Such a thread either has finished
/// by the time that the next writer gets the lock, or finds its token cancelled when it gets the lock itself.
pub(super) async fn change<T: Send + 'static>(
    permit: &Permit,
    root: &Path,
    readers: Readers,
    work: impl FnOnce(Directory, &CancelToken) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let token = permit.cancel().child();
    let _abandoned = CancelOnDrop(token.clone());
    let root = root.to_path_buf();
    let work = move || {
        go_on(&token)?;
        let root = Directory::make(&root, readers)?.lock()?;
        go_on(&token)?;
        work(root, &token)
    };
    tokio::task::spawn_blocking(work).await.map_err(ended_early)?
}

fn ended_early(error: tokio::task::JoinError) -> StepError {
    StepError::in_doubt("the work on files ended early").because(error)
}
