//! How a call ended, in the form that other programs read.

use std::process::ExitCode;

use serde::Serialize;

use crate::timed::Times;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The release serves.
    Deployed,
    /// Users met nothing of it.
    Refused,
    /// Users met it; what served before serves again.
    RolledBack,
    /// Something stands that could not be undone: somebody must look.
    Parked,
}

/// The last line of the output.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) outcome: Ended,
    pub(crate) release: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) old_pids: Vec<u32>,
    pub(crate) new_pids: Vec<u32>,
    pub(crate) ms: Times,
}

impl Outcome {
    pub(crate) fn refused(release: Option<String>, reason: impl Into<String>) -> Self {
        Self {
            outcome: Ended::Refused,
            release,
            reason: Some(reason.into()),
            old_pids: Vec::new(),
            new_pids: Vec::new(),
            ms: Times::default(),
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!(r#"{{"reason":"no JSON form: {error}"}}"#))
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self.outcome {
            Ended::Deployed => 0,
            Ended::Refused => 2,
            Ended::RolledBack => 3,
            Ended::Parked => 4,
        })
    }
}
