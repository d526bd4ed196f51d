use std::future::Future;

use flow_core::{CancelToken, ErrorKind, StepError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// Says whether work may go on to its next part.
pub(crate) fn go_on(token: &CancelToken) -> Result<(), StepError> {
    if token.is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"));
    }
    Ok(())
}

/// Does `work` to each of `items`, `at_once` of them at a time. The first error ends it; so does `token`.
pub(crate) async fn each<I, T, F>(
    at_once: usize,
    token: &CancelToken,
    items: Vec<I>,
    work: impl Fn(I) -> F,
) -> Result<Vec<T>, StepError>
where
    F: Future<Output = Result<T, StepError>>,
{
    let begun = items.into_iter().map(|item| {
        let stopped = go_on(token);
        let done = work(item);
        async move {
            stopped?;
            done.await
        }
    });
    stream::iter(begun).buffer_unordered(at_once).try_collect().await
}
