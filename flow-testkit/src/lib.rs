//! Fakes and conformance suites for deployments built on flow-core.

pub mod conformance;
pub mod fake;
pub mod fault;
#[cfg(feature = "mockall")]
pub mod mock;
pub mod world;

mod ledger;
mod permit;
mod points;
mod weights;

#[doc(hidden)]
pub use flow_core as __core;
pub use ledger::{Called, Ledger};
pub use permit::{context, permit, permit_under};
pub use world::World;
