//! How a run ended that did not complete.

use std::fmt;

use crate::durable::PerformError;
use crate::journal::Standing;
use crate::policy::Violation;
use crate::report::Report;
use crate::stage::StageName;
use crate::workflow::BeginError;

/// A stage's failure.
#[derive(Debug, Clone, PartialEq)]
pub struct StageError {
    /// The stage.
    pub stage: StageName,
    pub(crate) problem: Problem,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    ForeignWork,
    Call(PerformError),
}

impl StageError {
    /// The failed call; none where the work was not the plan's.
    #[must_use]
    pub const fn call(&self) -> Option<&PerformError> {
        match &self.problem {
            Problem::Call(error) => Some(error),
            Problem::ForeignWork => None,
        }
    }

    /// In what the run broke its environment's policy, all of one border at once; empty where the failure was another.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        match &self.problem {
            Problem::Call(PerformError::Violated(violations)) => &violations.all,
            Problem::Call(_) | Problem::ForeignWork => &[],
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::ForeignWork => {
                write!(f, "stage {}: the work is not the one that was planned", self.stage)
            }
            Problem::Call(error) => write!(f, "stage {}: {error}", self.stage),
        }
    }
}

impl std::error::Error for StageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Call(error) => std::error::Error::source(error),
            Problem::ForeignWork => None,
        }
    }
}

/// A run that could not undo everything: what stands, and the report so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// What still stands.
    pub standing: Vec<Standing>,
    /// The report so far.
    pub report: Report,
}

/// How an undo ended.
#[derive(Debug)]
pub enum Undone {
    /// Everything is undone.
    RolledBack(Report),
    /// Something could not be undone.
    Parked(Parked),
}

/// Why a run did not complete, for [`Workflow::run`](crate::Workflow::run).
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// It never began; nothing was changed.
    #[error("the run was not begun")]
    NotBegun(#[source] BeginError),
    /// It waits for a decision: [`carry_on`](crate::Workflow::carry_on) tries again what failed,
    /// [`roll_back`](crate::Workflow::roll_back) undoes it all. Where the error has [violations](StageError::violations) trying again
    /// finds the same ones.
    #[error("the run is held")]
    Held(#[source] StageError),
    /// Everything is undone.
    #[error("everything was rolled back")]
    RolledBack {
        /// What failed; none where the failure was in an earlier process.
        #[source]
        error: Option<StageError>,
        /// The report.
        report: Report,
    },
    /// Something could not be undone.
    #[error("not everything could be rolled back")]
    Parked {
        /// What failed; none where the failure was in an earlier process.
        #[source]
        error: Option<StageError>,
        /// What stands.
        parked: Parked,
    },
    /// Somebody closed it and answers for what stands.
    #[error("the run was closed with something standing")]
    Closed(Report),
    /// Another owner, another version or another time must go on.
    #[error("the run was handed over")]
    HandedOver(#[source] PerformError),
}
