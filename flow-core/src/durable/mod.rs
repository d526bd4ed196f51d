//! The outer seam: what the engine asks of whatever makes its calls durable.

mod call;
mod seam;

pub use call::{Attempt, Call, CallOptions, Effect};
pub use seam::{Capabilities, Durable, Fencing, Milestone, Opening, PerformError, Standpoint};
