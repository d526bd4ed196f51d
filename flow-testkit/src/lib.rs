//! Fakes, conformance suites and fault injection for deployments built on flow-core.

pub mod conformance;
pub mod fake;

mod permit;

pub use permit::{context, permit, permit_under};
