//! What the adapter is told, checked once.

mod settings;
mod target;

pub use settings::{ConsistencyQuery, MissingDatabase, SqlConfig, Waits};
pub(crate) use target::{Place, Server, Tls};
pub use target::{Protection, Target};
