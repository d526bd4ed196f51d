//! The testkit, proved: its fakes pass the suites, and every suite catches the implementations that break its promises.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod configuration;
mod evidence;
mod faults;
mod fleet;
mod journal;
mod metrics;
mod notifier;
mod prober;
mod process;
mod router;
mod rules;
mod vault;
