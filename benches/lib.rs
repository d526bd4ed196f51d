//! What the benches measure: sequences of cheap steps, over a journal in memory and over one on disk.
//!
//! The benches themselves are programs. `steps` measures durations with criterion. The others compare things in one run, by
//! turns, so that the machine's mood strikes all alike: `side_by_side` the engine, `switches` and `pm2` real servers.
//! `cargo xtask bench` runs them and writes their figures into `benches/README.md`.

mod disk;
mod figure;
mod samples;
mod sequence;

pub use disk::{BareLog, Disk};
pub use figure::Figure;
pub use samples::Samples;
pub use sequence::{Sequence, Times, held, runtime, setting};

/// Whatever went wrong; a bench only gives up.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
