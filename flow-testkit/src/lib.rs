//! Fakes and conformance suites for deployments built on flow-core.

pub mod conformance;
pub mod fake;
pub mod fault;

mod ledger;
mod permit;
mod points;

pub use ledger::{Called, Ledger};
pub use permit::{context, permit, permit_under};
