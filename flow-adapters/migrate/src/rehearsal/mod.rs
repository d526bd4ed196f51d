//! Runs pending migrations on a restored copy: up, down and up again, over the rows of the real database.
//!
//! - `course` leads each migration there and back on a server; `sqlite` does so on a file;
//! - `postgres` and `mysql` measure one statement: locks, rewritten relations, scanned rows, algorithm, time;
//! - `live` reads the catalogue that the lint foretells by.

mod course;
mod live;
mod mysql;
mod postgres;
mod report;
mod sqlite;

pub(crate) use course::rehearse as rehearse_on_server;
pub(crate) use live::{catalogue, foretell, nothing_yet};
pub(crate) use report::hash;
pub use report::{Rehearsed, StatementPlan};
pub(crate) use sqlite::rehearse as rehearse_file;
