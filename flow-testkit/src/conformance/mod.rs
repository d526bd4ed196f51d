//! Suites that an implementor of a port or a store proves itself with: one macro each, one `#[test]` for every promise, so
//! that the failing test's name is the diagnosis.
//!
//! Each macro takes an async function that gives a fresh fixture: the thing under test, together with a way to look at it from
//! outside. Every suite is itself proved: [`broken_implementations!`](crate::broken_implementations) pairs each promise with
//! an implementation that breaks it, and demands that the promise's test fails.

pub mod assets;
pub mod builder;
pub mod cdn;
pub mod configuration;
pub mod durable;
pub mod evidence;
pub mod functions;
pub mod host;
pub mod images;
pub mod journal;
pub mod metrics;
pub mod migrator;
pub mod notifier;
pub mod prober;
pub mod process;
pub mod router;
pub mod rules;
pub mod source;
pub mod step;
pub mod vault;

mod patience;
mod promise;
mod refusal;

pub use promise::{Checked, Fresh, Outside, breaks};
