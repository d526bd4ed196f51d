//! Migration scripts as text: which files make a migration, which statements a script has, and what each of them does to a
//! running service.
//!
//! A support crate without ports: it reads text, and touches neither a database nor the file system.
//!
//! ```
//! use flow_sql::{Conduct, Dialect, Entry, Layout, read};
//!
//! let file = |path: &str, sql: &str| Entry { path: path.into(), bytes: sql.into() };
//! let entries = [
//!     file("0001_users/up.sql", "CREATE TABLE users (name text);\nVACUUM;"),
//!     file("0001_users/down.sql", "DROP TABLE users;"),
//! ];
//! let layout = Layout::detect(entries.iter().map(|entry| entry.path.as_path()))?;
//! let scripts = read(layout, Dialect::Postgres, entries, |_| None)?;
//! let [create, vacuum] = &scripts[0].up.statements[..] else { panic!() };
//! assert_eq!(create.conduct(Dialect::Postgres), Conduct::Within);
//! assert_eq!((vacuum.conduct(Dialect::Postgres), vacuum.line), (Conduct::Outside, 2));
//! # Ok::<(), flow_core::Problems>(())
//! ```

mod conduct;
mod dialect;
mod directive;
mod layout;
mod lex;
mod lint;
mod refuse;
mod removal;
mod script;
mod split;
mod version;

pub use conduct::Conduct;
pub use dialect::Dialect;
pub use directive::{Backfill, MAX_BATCH_PAUSE, MAX_BATCH_ROWS, Phase};
pub use layout::{Entry, Layout, MAX_FILES, read};
pub use lex::{Token, TokenKind, Unfinished, lex};
pub use lint::{
    Advice, Algorithm, Catalogue, Impact, LockMode, Prediction, Product, Rule, Server, UnknownServer, lint,
};
pub use script::{Body, MAX_FILE_BYTES, MAX_STATEMENTS, Mode, Script};
pub use split::{Statement, split};
pub use version::Version;
