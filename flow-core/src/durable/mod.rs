//! The outer seam: what the engine asks of whatever makes its calls durable.

mod attempt;
mod call;
mod journaled;
mod keeper;
mod milestone;
mod seam;
mod session;

pub use call::{Attempt, Call, CallOptions, Effect};
pub use journaled::Journaled;
pub use seam::{Capabilities, Durable, Fencing, Milestone, Opening, PerformError};
