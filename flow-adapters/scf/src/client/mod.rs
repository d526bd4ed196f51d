//! All that is said to the platform, and how its changes are waited for.

mod actions;
mod model;
mod platform;
mod settle;
mod write;

pub(crate) use actions::Code;
pub(crate) use model::{Alias, Function, LATEST, Outcome, Row, TriggerRow, number};
pub(crate) use platform::{Platform, named};
pub(crate) use write::{Shares, TriggerChange};
