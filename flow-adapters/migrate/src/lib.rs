//! Database migrations, proved before they run: SQLite.
//!
//! [`SqlMigrations`] implements [`Migrator`](flow_core::port::Migrator) for one database file and one directory of
//! scripts, `NNNN_name.up.sql` with `NNNN_name.down.sql` where there is a way back.
//!
//! **What it needs**: read and write access to the database file and its directory, and a directory for backups with
//! room for three copies of it. The application may keep the database open; each migration holds the write lock for
//! as long as it runs, and a backup for as long as it copies.
//!
//! **What it can undo**: every migration that had a down script when it was applied. The script is kept in the
//! database, in the table `_flow_migrations`, so the way back needs no file of an older release. A migration
//! without one is irreversible, and [`revert_to`](flow_core::port::Migrator::revert_to) names it and touches nothing.
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
pub use flow_sql::Layout;
pub use run::{Course, Direction, Finished, Goal, MigrationStatus, Retreat, Standing, Way};
