//! A configuration store in a directory: one file a configuration.
//!
//! It needs a directory that this process may write and that nobody else writes. It can undo everything: the standard step
//! `WriteConfiguration` captures the old file before it writes the new one.

mod adapter;
mod client;
mod config;

pub use adapter::TemplateStore;
pub use config::TemplateConfig;
