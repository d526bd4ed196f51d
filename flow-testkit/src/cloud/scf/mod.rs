//! Functions: code in versions, aliases that share their traffic out, triggers, and a state that takes time to change.

mod account;
mod actions;
mod aliases;
mod code;
mod concurrency;
mod function;
mod invoke;
mod requests;
mod snapshot;
mod triggers;
mod versions;

pub(super) use actions::{DOWNLOADS, call};
pub(super) use function::Functions;
pub use invoke::Invocation;
pub(super) use invoke::{Program, invoke};
