//! The rules that no compiler checks: who may depend on whom, and how sources are written.

mod check;
mod dependencies;
mod exceptions;
mod finding;
mod habits;
mod modules;
mod sizes;
mod source;
mod testing;
mod text;

pub(crate) use check::{RulesError, check_workspace};
pub(crate) use exceptions::EXCEPTIONS;
pub(crate) use source::Source;
