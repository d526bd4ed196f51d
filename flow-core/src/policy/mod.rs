//! What an environment demands of a run, and how a plan breaks it.

mod model;
mod violation;

pub use model::{Policy, Safeguards};
pub use violation::Violation;
pub(crate) use violation::{check, deployed};
