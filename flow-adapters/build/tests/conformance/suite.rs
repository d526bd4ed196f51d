//! The testkit's suites, against real repositories and builds.

#[path = "suite/builder.rs"]
mod builder;
#[path = "suite/source.rs"]
mod source;
