//! The plan: everything that a run would do and how each part of it is undone, known before the first change.

mod hash;
mod model;

pub use hash::{fingerprint, plan_hash};
pub use model::{Coverage, Declaration, ItemKind, OnFailure, Plan, PlannedItem, PlannedRow, PlannedStage};
