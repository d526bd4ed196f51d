//! Gates: what decides whether a rollout or a run may go on.

mod standard;
mod threshold;
mod verdict;

pub use standard::{Figure, StandardGate};
pub use threshold::Thresholds;
pub use verdict::{Judgement, OnSilence, Verdict};
