//! Databases that dumps are restored into: ours by their names, and known to be in use by a lock that dies with its owner.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use flow_core::{Digest, ErrorKind, StepError};
use flow_sql::Dialect;

use super::certificate::now;
use crate::engine::Session;

/// A database of its own. Dropped without [`remove`](Self::remove), it is left to the next run.
#[derive(Debug)]
pub(super) struct ScratchDatabase {
    pub(super) name: String,
    dialect: Dialect,
    /// Holds the lock.
    control: Box<dyn Session>,
}

impl ScratchDatabase {
    /// Removes what dead runs left of the copies of `source`, and makes a new one with `options`, as `CREATE DATABASE` has them.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) where the user may not make databases.
    pub(super) async fn make(
        dialect: Dialect,
        mut control: Box<dyn Session>,
        source: &str,
        options: &str,
    ) -> Result<Self, StepError> {
        let ours = format!(
            "flow_scratch_{}",
            Digest::of(source.as_bytes()).hex().chars().take(16).collect::<String>()
        );
        for left in existing(dialect, control.as_mut(), &ours).await? {
            if lock(dialect, control.as_mut(), &left).await? {
                control.execute(&drop_database(dialect, &left)).await?;
            }
        }
        let name = format!("{ours}_{}", unique());
        if !lock(dialect, control.as_mut(), &name).await? {
            return Err(StepError::new(ErrorKind::Conflict, "another run has a database of the same name"));
        }
        control.execute(&format!("CREATE DATABASE {name} {options}")).await?;
        let mut made = Self { name, dialect, control };
        if dialect == Dialect::Postgres {
            // Rows of the source are nobody else's to read.
            let closed = format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", made.name);
            if let Err(error) = made.control.execute(&closed).await {
                made.remove().await?;
                return Err(error);
            }
        }
        Ok(made)
    }

    /// Removes it.
    pub(super) async fn remove(mut self) -> Result<(), StepError> {
        self.control.execute(&drop_database(self.dialect, &self.name)).await?;
        self.control.close().await
    }
}

/// The databases whose names begin so and whose owner this user is.
async fn existing(dialect: Dialect, control: &mut dyn Session, ours: &str) -> Result<Vec<String>, StepError> {
    let pattern = format!("{ours}_").replace('_', "\\_");
    let list = match dialect {
        Dialect::Postgres => format!(
            "SELECT datname FROM pg_catalog.pg_database
             WHERE datname LIKE '{pattern}%' AND pg_catalog.pg_has_role(datdba, 'USAGE')"
        ),
        Dialect::Mysql | Dialect::Sqlite => {
            format!("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '{pattern}%'")
        }
    };
    Ok(control.query(&list, &[]).await?.into_iter().flatten().flatten().collect())
}

/// Takes the lock of a name, if nobody has it.
async fn lock(dialect: Dialect, control: &mut dyn Session, name: &str) -> Result<bool, StepError> {
    let take = match dialect {
        Dialect::Postgres => {
            format!("SELECT pg_catalog.pg_try_advisory_lock(1718382455, pg_catalog.hashtext('{name}'))")
        }
        Dialect::Mysql | Dialect::Sqlite => format!("SELECT GET_LOCK('{name}', 0)"),
    };
    let taken: String = control.query(&take, &[]).await?.into_iter().flatten().flatten().collect();
    Ok(taken == "t" || taken == "1")
}

fn drop_database(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        Dialect::Mysql | Dialect::Sqlite => format!("DROP DATABASE IF EXISTS {name}"),
    }
}

fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let parts = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed), now());
    Digest::of(format!("{parts:?}").as_bytes()).hex().chars().take(12).collect()
}
