//! What the benches measure: sequences of cheap steps, over a journal in memory and over one on disk.
//!
//! The benches themselves are two programs. `steps` measures durations with criterion. `side_by_side` compares two things
//! in one run, by turns, so that the machine's mood strikes both alike, and gives ratios. `cargo xtask bench` runs both
//! and writes their figures into `benches/README.md`.

mod disk;
mod samples;
mod sequence;

pub use disk::{BareLog, Disk};
pub use samples::Samples;
pub use sequence::{Sequence, Times, held, runtime, setting};

/// Whatever went wrong; a bench only gives up.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
