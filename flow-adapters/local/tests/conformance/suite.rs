//! The testkit's suites, against the adapters of this crate.

#[path = "suite/assets.rs"]
mod assets;
#[path = "suite/cdn.rs"]
mod cdn;
#[path = "suite/functions.rs"]
mod functions;
