//! Three engines behind one seam: what differs between PostgreSQL, MariaDB/MySQL and SQLite, and nothing else.
//!
//! Each engine has the same files: `connection` (one dedicated session), `fault` (what its errors mean), `lock` (one migrator at a
//! time), `tables` (the history), `footprint` (what stands of a statement), `schema` (the catalogue as objects), `server` (what
//! must be known before anything is changed). What is recorded goes to each as a `write`.

mod cancel;
pub(crate) mod mysql;
pub(crate) mod postgres;
mod seam;
pub(crate) mod sqlite;
pub(crate) mod wait;
pub(crate) mod write;

pub(crate) use seam::{Access, Engine, Footprint, KeyColumn, Lock, Owner, Row, Session, Software, engine};
pub(crate) use write::Write;
