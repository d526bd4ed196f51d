//! The outer seam: what the engine asks of whatever makes its calls durable.

mod attempt;
mod call;
mod ending;
mod journaled;
mod keeper;
mod milestone;
#[cfg(not(feature = "testing"))]
mod no_points;
#[cfg(feature = "testing")]
mod points;
mod seam;
mod session;

pub use call::{Attempt, Call, CallOptions, Effect};
pub use journaled::Journaled;
#[cfg(feature = "testing")]
pub use points::{FaultPoints, PointFault};
pub use seam::{Capabilities, Durable, Fencing, Milestone, Opening, PerformError};

#[cfg(not(feature = "testing"))]
use no_points::Points;
#[cfg(feature = "testing")]
use points::Points;
