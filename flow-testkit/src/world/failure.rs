use flow_core::plan::{ApprovalError, PlanError};
use flow_core::report::Report;
use flow_core::stage::StageName;
use flow_core::{Problems, Stopped};

/// Why a deployment in a [`World`](crate::World) did not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotDeployed {
    /// The test itself is wrong: a name that is none, a service twice, time that is not virtual.
    #[error("the world is not set up")]
    Misused(#[source] Problems),
    /// The plan was refused; nothing was changed.
    #[error(transparent)]
    Refused(PlanError),
    /// The plan was not approved; nothing was changed.
    #[error("the plan is not approved: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotApproved(Vec<ApprovalError>),
    /// The run did not begin, was held, rolled back, parked or handed over.
    #[error(transparent)]
    Stopped(Box<Stopped>),
    /// A [crash](crate::fault::Fault::Crash) of the test ended the process: see [`World::resume`](crate::World::resume).
    #[error("the process died")]
    Died,
}

impl NotDeployed {
    /// The stage where the run failed; none where it never began, or its process died.
    #[must_use]
    pub fn at(&self) -> Option<StageName> {
        let Self::Stopped(stopped) = self else { return None };
        let failed = match &**stopped {
            Stopped::Held(error) => Some(error),
            Stopped::RolledBack { error, .. } | Stopped::Parked { error, .. } => error.as_ref(),
            _ => None,
        };
        // After a crash only the journal knows where it failed.
        let recorded = || self.report()?.document().failure.as_ref()?.stage;
        failed.map(|error| error.stage).or_else(recorded)
    }

    /// The report of a run that ended.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        let Self::Stopped(stopped) = self else { return None };
        match &**stopped {
            Stopped::RolledBack { report, .. } | Stopped::Closed(report) => Some(report),
            Stopped::Parked { parked, .. } => Some(&parked.report),
            _ => None,
        }
    }

    /// Whether everything that the run had done is undone.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        matches!(self, Self::Stopped(stopped) if matches!(**stopped, Stopped::RolledBack { .. }))
    }
}
