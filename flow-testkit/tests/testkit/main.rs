//! The testkit, proved: its fakes pass the suites, and every suite catches the implementations that break its promises.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod assets;
mod builder;
mod cdn;
mod clock;
#[cfg(feature = "cloud")]
mod cloud;
mod configuration;
mod durable;
mod evidence;
mod faults;
mod fleet;
mod functions;
mod host;
mod images;
mod journal;
mod metrics;
mod migrator;
#[cfg(feature = "mockall")]
mod mocks;
mod notifier;
mod prober;
mod process;
mod promise;
mod router;
mod rules;
mod source;
mod step;
mod vault;
mod world;
