//! The engine over the memory store, with fakes: forward, back, over crashes.

mod crash;
mod probe;
mod runs;
