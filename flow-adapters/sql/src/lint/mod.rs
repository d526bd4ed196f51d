//! What a migration does to a running service, judged from its text and from what is known of the database.
//!
//! [`lint`] reads one script against a [`Catalogue`] and advances it, so that the scripts after it are judged by what this one
//! leaves. PostgreSQL is read by squawk's parser, MariaDB, MySQL and SQLite by sqlparser. What cannot be read is
//! [`Impact::Unvalidated`], never harmless.
//!
//! ```
//! use flow_sql::{Catalogue, Dialect, Impact, LockMode, Server, lint};
//!
//! let server = Server::read(Dialect::Postgres, "15.18 (Debian 15.18-0+deb12u1)")?;
//! let mut catalogue = Catalogue::empty(server);
//! lint(&mut catalogue, ["CREATE TABLE users (id int, name varchar(10))"]);
//!
//! let impacts = lint(&mut catalogue, ["ALTER TABLE users ALTER COLUMN id TYPE bigint"]);
//! let [Impact::Predicted(prediction)] = &impacts[..] else { panic!("not understood: {impacts:?}") };
//! assert_eq!(prediction.locks["users"], LockMode::AccessExclusive);
//! assert!(prediction.rewrites.contains("users"));
//! # Ok::<(), flow_sql::UnknownServer>(())
//! ```

mod catalogue;
mod impact;
mod judge;
mod mysql;
mod postgres;
mod query;
mod server;
mod sqlite;
mod types;

pub use catalogue::Catalogue;
pub use impact::{Advice, Algorithm, Impact, LockMode, Prediction, Rule};
pub use judge::lint;
pub use server::{Product, Server, UnknownServer};
