//! Fakes and conformance suites for deployments built on flow-core.

pub mod conformance;
pub mod fake;

mod permit;

pub use permit::{context, permit, permit_under};
