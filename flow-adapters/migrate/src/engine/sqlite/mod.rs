//! SQLite, as a file beside the application.

pub(crate) mod catalogue;
mod connection;
mod fault;
mod footprint;
mod lock;
mod references;
pub(crate) mod schema;
mod server;
mod tables;

pub(crate) use connection::{Database, Durability, SqliteSession};
pub(crate) use references::References;
pub(crate) use server::Sqlite;
