use std::error::Error;
use std::fmt::Write as _;

use super::Outside;

/// The error that `answer` must be.
pub(super) fn refusal<T, E>(answer: Result<T, E>, of: &str) -> Outside<E> {
    match answer {
        Err(error) => Ok(error),
        Ok(_) => Err(format!("{of} was let pass").into()),
    }
}

/// All that an error says, to its last cause, for people and for programmers.
pub(super) fn whole(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
