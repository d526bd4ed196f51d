//! The engine: drives a plan's items over a durable seam, forward and back.

mod baseline;
mod ending;
mod item;
mod observe;
mod planner;
mod rollout;
mod rollout_item;
mod run;
mod seal;
mod step;
mod undo;

pub(crate) use ending::Ending;
pub(crate) use item::{Item, Items};
pub(crate) use planner::{StageWork, definition, in_order, plan};
pub(crate) use rollout::RolloutItem;
pub(crate) use run::{Run, RunEnd, cause_of, running};
pub(crate) use step::StepItem;
