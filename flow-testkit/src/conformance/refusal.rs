use flow_core::{Cause, StepError};

use super::Checked;

/// The error that `answer` must be.
pub(super) fn refusal<T>(answer: Result<T, StepError>, of: &str) -> Checked<StepError> {
    match answer {
        Err(error) => Ok(error),
        Ok(_) => Err(format!("{of} was let pass").into()),
    }
}

/// All that an error says, to its last cause, for people and for programmers.
pub(super) fn whole(error: &StepError) -> String {
    format!("{} {error:?}", Cause::from(error))
}
