//! Migration scripts as text: which files make a migration, which statements a script has, and what each of them does to a
//! running service.
//!
//! A support crate without ports: it reads text, and touches neither a database nor the file system.

mod dialect;

pub use dialect::Dialect;
