//! The embedded default adapters: what a deployment needs on one machine where nothing else is installed.

pub mod function;
pub mod host;
pub mod process;
pub mod proxy;
pub mod store;

mod os;

#[cfg(test)]
mod full_disk;
