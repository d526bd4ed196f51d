//! Alert rules as files that Prometheus reads.

mod adapter;
mod check;
mod notation;
mod yaml;

pub use adapter::RuleFiles;
