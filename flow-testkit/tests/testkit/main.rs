//! The testkit, proved: its fakes pass the suites, and every suite catches the implementations that break its promises.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod assets;
mod builder;
mod cdn;
mod faults;
mod functions;
mod images;
mod journal;
mod migrator;
mod source;
