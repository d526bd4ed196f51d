use std::fmt;

use jiff::Timestamp;

use crate::error::{Cause, Problem};
use crate::name::{Actor, Digest, Name};
use crate::policy::Violation;
use crate::stage::{ActivityName, StageName};

/// Why a workflow cannot be planned: everything at once.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanError {
    /// All problems, in the plan's order.
    pub problems: Vec<PlanProblem>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plan is refused for {} reasons", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for PlanError {}

/// One reason why a workflow cannot be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanProblem {
    /// A parameter of a step or rollout is wrong.
    #[error("{stage}/{step}: {problem}")]
    Invalid {
        /// The stage.
        stage: StageName,
        /// The step or rollout.
        step: Name,
        /// What is wrong.
        problem: Problem,
    },
    /// A name stands twice.
    #[error("the name `{step}` stands in {first} and in {second}")]
    DuplicateName {
        /// The name.
        step: Name,
        /// Where first.
        first: StageName,
        /// Where again.
        second: StageName,
    },
    /// Nobody does an activity and nobody said why.
    #[error("{0} is neither covered by a step nor declared not applicable")]
    NotCovered(ActivityName),
    /// An activity is both done and declared not applicable.
    #[error("{activity} is declared not applicable and covered by `{step}`")]
    Contradiction {
        /// The activity.
        activity: ActivityName,
        /// The step.
        step: Name,
    },
    /// A stage has nothing to do and was not declared not applicable.
    #[error("{0} has no work; a stage is left out as a whole, with a reason")]
    EmptyStage(StageName),
    /// Services need each other in a circle.
    #[error("services need each other in a circle: {}", .0.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<Name>),
    /// A service needs one that the plan does not have.
    #[error("`{service}` needs `{needs}`, which the plan does not have")]
    UnknownService {
        /// The service.
        service: Name,
        /// What it needs.
        needs: Name,
    },
    /// A step could not say what it would change.
    #[error("{stage}/{step} cannot be previewed: {cause}")]
    Preview {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
        /// Why not.
        cause: Cause,
    },
    /// A value of the setting is wrong.
    #[error("setting: {0}")]
    Setting(Problem),
    /// Something is left out without a reason.
    #[error("{0} is left out, and the reason does not say why")]
    NoReason(String),
    /// Something seals captured state, and there is nothing to seal it in.
    #[error("`vault`: {stage}/{step} seals captured state, but the setting has no vault")]
    NoVault {
        /// The stage.
        stage: StageName,
        /// The step.
        step: Name,
    },
    /// The environment's policy forbids it.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{by}: {reason}")]
pub struct RefusedApproval {
    /// Whose.
    pub by: Actor,
    /// Why it does not count.
    pub reason: Refusal,
}

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It binds to another plan: another release, another world, or a plan that was changed on its way.
    #[error("approved another plan, {plan}")]
    AnotherPlan {
        /// The hash of that plan.
        plan: Digest,
    },
    /// It is too old.
    #[error("the approval expired at {at}")]
    Expired {
        /// Since when it no longer counts.
        at: Timestamp,
    },
    /// It is the initiator's own.
    #[error("nobody approves their own run")]
    OwnRun,
}

/// Why a plan cannot be applied as it was approved. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// Too few people approved it.
    #[error("{given} of {needed} approvals{}", refused.iter().map(|one| format!("; {one}")).collect::<String>())]
    TooFew {
        /// How many count.
        given: u32,
        /// How many it takes.
        needed: u32,
        /// Those that do not count, and why.
        refused: Vec<RefusedApproval>,
    },
    /// A step without a way back was not accepted by name.
    #[error("`{step}` has no way back and was not accepted: {reason}")]
    NotAccepted {
        /// The step.
        step: Name,
        /// Why it has none.
        reason: String,
    },
}

/// A world, or a demand on the run, that is no longer the one that was approved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the world has changed since the plan {approved} was approved; now it would be {found}: {}", .changed.join(", "))]
pub struct Drift {
    /// The approved plan's hash.
    pub approved: Digest,
    /// The hash that the plan would have now.
    pub found: Digest,
    /// What is another one now: `initiator`, `approvals`, `policy` or `definition`, or a step as `stage/name`, whose preview
    /// differs or what it will prove and measure.
    pub changed: Vec<String>,
}
