use std::num::NonZeroUsize;

use flow_core::StepError;
use futures::stream::{self, StreamExt};

/// Does the same on several hosts, on at most `at_once` of them at a time, and answers for each: in the order in which they were given, and
/// whatever became of the others.
///
/// Dropping the future drops what is under way and begins no more.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use flow_core::{ErrorKind, StepError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answers = flow_ssh::on_each([("a", 1), ("b", 0), ("c", 2)], NonZeroUsize::MIN, |divisor| async move {
///     let refused = || StepError::new(ErrorKind::Invalid, "divided by nothing");
///     6_u32.checked_div(divisor).ok_or_else(refused)
/// })
/// .await;
/// let worked: Vec<_> = answers.iter().map(|(name, answer)| (*name, answer.is_ok())).collect();
/// assert_eq!(worked, [("a", true), ("b", false), ("c", true)]);
/// # }
/// ```
pub async fn on_each<N, H, T, F>(
    hosts: impl IntoIterator<Item = (N, H)>,
    at_once: NonZeroUsize,
    each: impl Fn(H) -> F,
) -> Vec<(N, Result<T, StepError>)>
where
    F: Future<Output = Result<T, StepError>>,
{
    stream::iter(hosts)
        .map(|(name, host)| {
            let answer = each(host);
            async move { (name, answer.await) }
        })
        .buffered(at_once.get())
        .collect()
        .await
}
