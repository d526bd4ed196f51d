//! The testkit, proved: its fakes pass the suites, and every suite catches the implementations that break its promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;
mod evidence;
mod faults;
mod fleet;
mod host;
mod journal;
mod metrics;
#[cfg(feature = "mockall")]
mod mocks;
mod notifier;
mod prober;
mod process;
mod router;
mod rules;
mod vault;
