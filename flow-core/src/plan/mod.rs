//! The plan: everything that a run would do and how each part of it is undone, known before the first change.

mod approve;
mod hash;
mod model;
mod problem;

pub use approve::{Approval, Approvals, ApprovedPlan, ProposedPlan};
pub use hash::{fingerprint, plan_hash};
pub use model::{Coverage, Declaration, ItemKind, OnFailure, Plan, PlannedItem, PlannedRow, PlannedStage};
pub use problem::{ApprovalError, Drift, PlanError, PlanProblem};
