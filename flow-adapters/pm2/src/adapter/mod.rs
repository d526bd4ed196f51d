//! Implements `ProcessManager`.

mod address;
mod found;
mod health;
mod launch;
mod note;
mod outside;
mod probe;
mod processes;
mod record;
mod replace;
mod settled;
mod stop;

pub use processes::{ListedApp, Pm2Processes};
pub use replace::Replacement;
