//! A directory with a database, its scripts and its backups, and a connection beside the library.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{StepError, name};
use flow_migrate::{SqlConfig, SqlMigrations, Target, Waits};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

pub(crate) struct World {
    _directory: Option<tempfile::TempDir>,
    root: PathBuf,
}

impl World {
    /// A world with an empty database file.
    pub(crate) fn new() -> Self {
        let world = Self::without_database();
        std::fs::write(world.database(), b"").unwrap();
        world
    }

    pub(crate) fn without_database() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = Self { root: directory.path().to_owned(), _directory: Some(directory) };
        std::fs::create_dir(world.scripts()).unwrap();
        world
    }

    /// The world of another process.
    pub(crate) fn at(root: &Path) -> Self {
        Self { _directory: None, root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("app.db")
    }

    pub(crate) fn scripts(&self) -> PathBuf {
        self.root.join("scripts")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// Writes the scripts of one migration.
    pub(crate) fn script(&self, stem: &str, up: &str, down: Option<&str>) -> &Self {
        std::fs::write(self.scripts().join(format!("{stem}.up.sql")), up).unwrap();
        if let Some(down) = down {
            std::fs::write(self.scripts().join(format!("{stem}.down.sql")), down).unwrap();
        }
        self
    }

    pub(crate) fn config(&self) -> SqlConfig {
        let waits = Waits { tables: Duration::from_secs(30), ..Waits::default() };
        let target = Target::sqlite(self.database());
        SqlConfig { waits, ..SqlConfig::new(target, self.scripts(), self.backups(), name!("app-db")) }
    }

    pub(crate) fn migrations(&self) -> SqlMigrations {
        SqlMigrations::new(self.config()).unwrap()
    }

    /// As an impatient caller, who does not wait for locks.
    pub(crate) fn impatient(&self) -> SqlMigrations {
        let waits = Waits { tables: Duration::ZERO, attempts: 1, ..Waits::default() };
        SqlMigrations::new(SqlConfig { waits, ..self.config() }).unwrap()
    }

    /// A connection as an application has it: foreign keys are enforced.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        connect(&self.database()).await
    }

    /// Runs statements beside the library.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The first column of every row, as text.
    pub(crate) async fn ask(&self, sql: &str) -> Vec<String> {
        ask(&self.database(), sql).await
    }

    /// Tables, indexes, views and triggers as the catalogue has them, without the library's own.
    pub(crate) async fn schema(&self) -> Vec<String> {
        self.ask(
            "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master
             WHERE tbl_name NOT IN ('_flow_migrations', '_sqlx_migrations') ORDER BY 1",
        )
        .await
    }

    pub(crate) async fn applied(&self) -> Vec<String> {
        let there = "SELECT name FROM sqlite_master WHERE name = '_flow_migrations'";
        if self.ask(there).await.is_empty() {
            return Vec::new();
        }
        self.ask("SELECT version FROM _flow_migrations ORDER BY seq").await
    }

    /// The digest of the database file's bytes. No connection of this process may be open.
    pub(crate) fn bytes(&self) -> String {
        sha256(&self.database())
    }

    /// What stands in the directory of backups, without the lock file that stays there.
    pub(crate) fn backup_files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.backups()) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".flow-scratch.lock" && !name.ends_with(".proof.json")).collect()
    }
}

pub(crate) async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(30));
    options.connect().await.unwrap()
}

pub(crate) async fn ask(path: &Path, sql: &str) -> Vec<String> {
    let mut connection = connect(path).await;
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    connection.close().await.unwrap();
    let text = |row: &sqlx::sqlite::SqliteRow| {
        row.try_get_unchecked::<Option<String>, _>(0).unwrap().unwrap_or_else(|| "NULL".to_owned())
    };
    rows.iter().map(text).collect()
}

pub(crate) fn sha256(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fact `name` of `error`.
pub(crate) fn fact<'a>(error: &'a StepError, name: &str) -> &'a str {
    let found = error.facts().find(|(fact, _)| *fact == name);
    found.unwrap_or_else(|| panic!("no fact `{name}` in {error}")).1
}
