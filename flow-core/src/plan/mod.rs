//! The plan: everything that a run would do and how each part of it is undone, known before the first change.

mod approve;
mod hash;
mod model;
mod problem;
mod render;
mod travel;

pub use approve::{Approval, Approvals, ApprovedPlan, ProposedPlan};
pub use hash::{fingerprint, plan_hash};
pub use model::{Coverage, Declaration, ItemKind, OnFailure, Plan, PlannedItem, PlannedRow, PlannedStage};
pub use problem::{ApprovalError, Drift, PlanError, PlanProblem, Refusal, RefusedApproval};
pub use render::Estimate;
pub use travel::{PLAN_FORMAT, RecallError, Tampered, TravelError};
