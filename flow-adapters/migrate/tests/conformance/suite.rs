//! The testkit's suites, against real SQLite files.

#[path = "suite/migrator.rs"]
mod migrator;
