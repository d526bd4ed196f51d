//! Database migrations, proved before they run: PostgreSQL, MariaDB/MySQL and SQLite.
//!
//! [`SqlMigrations`] implements [`Migrator`](flow_core::port::Migrator) for one database and one directory of scripts in any
//! [`Layout`] that flow-sql reads.
//!
//! **What it needs**: of a server a direct connection (no pooler that gives sessions to transactions) and the right to make tables;
//! of SQLite write access to the file and its directory. A directory for backups with room for three copies of the database. The
//! application may go on meanwhile: other migrators wait for one lock, which is also that of applications that migrate themselves with
//! sqlx, and what they applied is known by their rows in `_sqlx_migrations`.
//!
//! **What it can undo**: every migration that had a down script when it was applied. The script is kept in the
//! database, in the table `_flow_migrations`, so the way back needs no file of an older release. A migration
//! without one is irreversible, and [`revert_to`](flow_core::port::Migrator::revert_to) names it and touches nothing. A
//! migration is one transaction with its row wherever its statements allow that; what commits by itself (the DDL of MariaDB and MySQL,
//! `CREATE INDEX CONCURRENTLY`) is recorded statement by statement, so that what stands of it is known, gone on from or taken back.
//!
//! ```
//! use flow_core::name;
//! use flow_core::port::Migrator;
//! use flow_migrate::{MissingDatabase, SqlConfig, SqlMigrations, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! # std::fs::create_dir(root.join("migrations"))?;
//! std::fs::write(root.join("migrations/0001_users.up.sql"), "CREATE TABLE users (name TEXT);")?;
//! std::fs::write(root.join("migrations/0001_users.down.sql"), "DROP TABLE users;")?;
//! let migrations = SqlMigrations::new(SqlConfig {
//!     missing: MissingDatabase::Create,
//!     ..SqlConfig::new(Target::sqlite(root.join("app.db")), root.join("migrations"), root.join("backups"), name!("app-db"))
//! })?;
//!
//! // Nothing is changed yet: up, down and up again ran on a copy.
//! let impact = migrations.impact().await?;
//! assert_eq!(impact[0].effect, "write lock; changes the catalogue alone");
//!
//! # let permit = flow_testkit::permit();
//! let before = migrations.state().await?;
//! let proof = migrations.back_up(&permit).await?;
//! let applied = migrations.apply(&permit).await?;
//! assert_eq!(applied[0].version, "0001");
//!
//! migrations.revert_to(&permit, &before.applied).await?;
//! assert_eq!(migrations.state().await?, before);
//! migrations.drill(&proof, &[]).await?;
//! # Ok(())
//! # }
//! ```

mod adapter;
mod backup;
mod config;
mod effect;
mod engine;
mod files;
mod ledger;
mod proof;
mod rehearsal;
mod rows;
mod run;
mod schema;
mod scratch;

pub use adapter::SqlMigrations;
pub use backup::{Backup, BackupSettings, Pruned, Retention};
pub use config::{ConsistencyQuery, MissingDatabase, Protection, SqlConfig, Target, Waits};
pub use flow_sql::{Layout, Phase};
pub use ledger::BackfillProgress;
pub use rehearsal::{Rehearsed, StatementPlan};
pub use run::{
    Course, Direction, Finished, Goal, MigrationStatus, Overview, Resolution, Retreat, Standing, Way,
};
