//! PM2's ecosystem files, read as data.
//!
//! PM2 evaluates such a file as JavaScript even where it is called `.json`. Here [`Ecosystem::parse`] runs nothing, and
//! [`Ecosystem::evaluate`] runs a script in a process of its own, within bounds.

mod deploy;
mod model;
mod parse;
mod read;

pub use deploy::{DeployBlock, Hook, HookName};
pub use model::{Ecosystem, EcosystemApp, EcosystemMode, Instances};
pub use parse::{EcosystemError, Evaluation, Notation};
