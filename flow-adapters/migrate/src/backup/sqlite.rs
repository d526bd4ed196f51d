//! SQLite: `VACUUM INTO` while the write lock is held (<https://www.sqlite.org/lang_vacuum.html#vacuuminto>).

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};

use super::copier::{Copier, Restored, Stands, Taken};
use super::draft::{Draft, Sealed};
use crate::config::{MissingDatabase, SqlConfig, Waits};
use crate::engine::Session as _;
use crate::engine::sqlite::{Database, Durability, Sqlite, SqliteSession, catalogue};
use crate::files::{about, blocking};
use crate::proof::Contents;
use crate::scratch::Scratch;

#[derive(Debug)]
pub(super) struct SqliteCopier {
    database: Database,
    path: PathBuf,
    waits: Waits,
    directory: PathBuf,
}

impl SqliteCopier {
    pub(super) fn new(path: &Path, config: &SqlConfig) -> Self {
        let database = Database::new(path.to_owned(), config.waits.tables, config.missing);
        let (waits, directory) = (config.waits.clone(), config.backups.clone());
        Self { database, path: path.to_owned(), waits, directory }
    }
}

#[async_trait]
impl Copier for SqliteCopier {
    fn source(&self) -> String {
        format!("sqlite {}", self.path.display())
    }

    fn suffix(&self) -> &'static str {
        "sqlite"
    }

    fn runs_dumps(&self) -> bool {
        false
    }

    async fn take(&self, draft: &Arc<Draft>, cancel: &CancelToken) -> Result<Taken, StepError> {
        let copied = scratch(&self.directory).await?;
        let (contents, locked) = copy_locked(&self.database, &copied, cancel).await?;
        let mut session = throwaway(&copied).read().await?;
        let server = session.query("SELECT sqlite_version()", &[]).await?;
        session.close().await?;
        let draft = Arc::clone(draft);
        blocking(move || {
            let plain = File::open(copied.path()).map_err(|error| about(copied.path(), error))?;
            draft.fill(plain)
        })
        .await?;
        Ok(Taken { contents, server: server.into_iter().flatten().flatten().collect(), locked })
    }

    async fn restore(&self, sealed: Sealed, _cancel: &CancelToken) -> Result<Restored, StepError> {
        let restored = scratch(&self.directory).await?;
        let restored = blocking(move || {
            let open = OpenOptions::new().write(true).truncate(true).open(restored.path());
            sealed.pour(open.map_err(|error| about(restored.path(), error))?)?;
            Ok(restored)
        })
        .await?;
        let engine = Arc::new(Sqlite::new(throwaway(&restored), self.waits.clone()));
        Ok(Restored { engine, stands: Stands::File(restored) })
    }

    async fn contents(&self, restored: &mut Restored, _cancel: &CancelToken) -> Result<Contents, StepError> {
        let Stands::File(file) = &restored.stands else {
            return Err(StepError::new(ErrorKind::Invalid, "the copy is no file"));
        };
        let mut session = throwaway(file).read().await?;
        if let Some(damage) = catalogue::damage(&mut session).await? {
            let message = "the restored copy is damaged";
            return Err(StepError::new(ErrorKind::Failed, message).fact("sqlite", damage));
        }
        let contents = catalogue::contents(&mut session).await?;
        session.close().await?;
        Ok(contents)
    }
}

/// Copies the database and reads its content, both while nobody can write; says for how long nobody could.
async fn copy_locked(
    database: &Database,
    backup: &Scratch,
    cancel: &CancelToken,
) -> Result<(Contents, Duration), StepError> {
    let mut holder = database.write(Durability::Durable, cancel).await?;
    holder.execute("BEGIN IMMEDIATE").await?;
    let begun = Instant::now();
    // Side by side, so that writers wait for the slower of the two alone.
    let copied = futures::future::join(catalogue::contents(&mut holder), copy(database, backup)).await;
    holder.roll_back().await;
    let locked = begun.elapsed();
    holder.close().await?;
    let (contents, ()) = (copied.0?, copied.1?);
    Ok((contents, locked))
}

/// Copies what was committed last into `scratch`.
pub(crate) async fn copy(database: &Database, scratch: &Scratch) -> Result<(), StepError> {
    let mut reader = database.read().await?;
    let copied = vacuum_into(&mut reader, scratch.path()).await;
    reader.close().await?;
    copied
}

async fn vacuum_into(session: &mut SqliteSession, path: &Path) -> Result<(), StepError> {
    let path = path.display().to_string().replace('\'', "''");
    session.execute(&format!("VACUUM INTO '{path}'")).await
}

/// An empty private file in `directory`.
pub(crate) async fn scratch(directory: &Path) -> Result<Scratch, StepError> {
    let directory = directory.to_owned();
    blocking(move || Scratch::new(&directory)).await
}

/// The database that a scratch file holds. Nobody else has it open.
pub(crate) fn throwaway(scratch: &Scratch) -> Database {
    Database::new(scratch.path().to_owned(), Duration::ZERO, MissingDatabase::Refuse)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

    use super::*;
    use crate::proof;

    fn copier(backups: &Path, path: &Path) -> SqliteCopier {
        let target = crate::Target::sqlite(path);
        SqliteCopier::new(path, &SqlConfig::new(target, "scripts", backups, flow_core::name!("db")))
    }

    async fn restored(copier: &SqliteCopier, backup: &Path) -> Result<Contents, StepError> {
        let (sealed, cancel) = (Sealed::kept(backup, &[]), CancelToken::new());
        let mut restored = copier.restore(sealed, &cancel).await?;
        copier.contents(&mut restored, &cancel).await
    }

    async fn run(path: &Path, sql: &'static str) {
        let mut connection = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_that_is_changed_before_it_is_restored_is_no_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        std::fs::write(&path, b"").unwrap();
        run(&path, "CREATE TABLE a(v); CREATE TABLE b(v); INSERT INTO a VALUES(1), (2)").await;
        let copier = copier(directory.path(), &path);
        for (change, fact) in [
            ("SELECT 1", None),
            ("UPDATE a SET v = 3 WHERE v = 2", Some(("tables", "a"))),
            ("INSERT INTO b VALUES(NULL)", Some(("tables", "b"))),
            ("CREATE INDEX i ON a(v)", Some(("objects", "i"))),
        ] {
            let backup = scratch(directory.path()).await.unwrap();
            let source = copy_locked(&copier.database, &backup, &CancelToken::new()).await.unwrap().0;
            run(backup.path(), change).await;
            let restored = restored(&copier, backup.path()).await.unwrap();
            let error = proof::compare(&source, &restored).err();
            assert_eq!(error.as_ref().and_then(|error| error.facts().next()), fact, "{change}");
        }
    }

    #[tokio::test]
    async fn a_copy_whose_bytes_are_damaged_is_no_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        std::fs::write(&path, b"").unwrap();
        run(&path, "CREATE TABLE a(v); INSERT INTO a VALUES(1)").await;
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096..4104].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let damaged = restored(&copier(directory.path(), &path), &path).await;
        assert!(damaged.unwrap_err().kind().is_rejection());
    }
}
