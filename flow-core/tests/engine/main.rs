//! The engine over the memory store, with fakes: forward, back, over crashes.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod begin;
mod crash;
mod events;
mod facade;
mod golden;
mod handover;
mod hanging;
mod lease;
mod probe;
mod promises;
mod runs;
mod store;
