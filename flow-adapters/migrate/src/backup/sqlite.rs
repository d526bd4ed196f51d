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
    holder.begin().await?;
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
