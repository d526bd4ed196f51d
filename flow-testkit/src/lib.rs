//! Fakes and conformance suites for deployments built on flow-core.

pub mod conformance;
pub mod fake;
#[cfg(feature = "mockall")]
pub mod mock;

mod permit;

pub use permit::{context, permit, permit_under};
