//! The standard steps, over a strict world in memory: each alone, and all of them in one run.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a sweep says what it did")]

mod assets;
mod build;
mod contract;
mod faults;
mod functions;
mod migrate;
mod monitoring;
mod phases;
mod policy;
mod prepare;
mod security;
mod services;
mod verify;
mod whole;
mod world;
