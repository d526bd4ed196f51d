//! A backup is a proof: it is restored and compared before it counts.

use std::path::Path;

use flow_core::port::BackupProof;
use flow_core::{Artifact, CancelToken, ErrorKind, Permit, StepError};

use crate::config::MissingDatabase;
use crate::engine::sqlite::{Database, Durability, SqliteSession, catalogue};
use crate::files::{self, blocking};
use crate::proof::{self, Contents};
use crate::scratch::Scratch;

/// Copies, restores, compares and keeps.
pub(crate) async fn back_up(
    database: &Database,
    directory: &Path,
    permit: &Permit,
) -> Result<BackupProof, StepError> {
    let backup = scratch(directory).await?;
    let source = copy_locked(database, &backup, permit.cancel()).await?;
    let restored = restore(directory, backup.path()).await?;
    proof::compare(&source, &restored)?;
    let directory = directory.to_owned();
    let backup = blocking(move || {
        let digest = files::digest(backup.path())?;
        let path = files::keep(backup.path(), directory.join(format!("{}.sqlite", digest.hex())))?;
        Ok(Artifact { digest, path })
    })
    .await?;
    Ok(BackupProof { backup, tables: proof::port_tables(&source) })
}

/// Restores a kept backup once more and compares it with its proof.
pub(crate) async fn drill(directory: &Path, proved: &BackupProof) -> Result<(), StepError> {
    let restored = restore(directory, &proved.backup.path).await?;
    proof::compare_tables(&proved.tables, &restored)?;
    let path = proved.backup.path.clone();
    let digest = blocking(move || files::digest(&path)).await?;
    if digest == proved.backup.digest {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Failed, "the backup's bytes are not the ones that were proved")
        .fact("path", proved.backup.path.display()))
}

/// Copies the database and reads its content, both while nobody can write.
async fn copy_locked(
    database: &Database,
    backup: &Scratch,
    cancel: &CancelToken,
) -> Result<Contents, StepError> {
    let mut holder = database.write(Durability::Durable, cancel).await?;
    holder.begin().await?;
    // Side by side, so that writers wait for the slower of the two alone.
    let copied = futures::future::join(catalogue::contents(&mut holder), copy(database, backup)).await;
    holder.roll_back().await;
    holder.close().await?;
    let (contents, ()) = (copied.0?, copied.1?);
    Ok(contents)
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

/// Restores `backup` beside and reads the restored database.
async fn restore(directory: &Path, backup: &Path) -> Result<Contents, StepError> {
    let restored = scratch(directory).await?;
    let (from, to) = (backup.to_owned(), restored.path().to_owned());
    blocking(move || files::copy(&from, &to)).await?;
    let mut session = throwaway(&restored).read().await?;
    if let Some(damage) = catalogue::damage(&mut session).await? {
        return Err(StepError::new(ErrorKind::Failed, "the restored copy is damaged").fact("sqlite", damage));
    }
    let contents = catalogue::contents(&mut session).await?;
    session.close().await?;
    Ok(contents)
}

/// An empty private file in `directory`.
pub(crate) async fn scratch(directory: &Path) -> Result<Scratch, StepError> {
    let directory = directory.to_owned();
    blocking(move || Scratch::new(&directory)).await
}

/// The database that a scratch file holds. Nobody else has it open.
pub(crate) fn throwaway(scratch: &Scratch) -> Database {
    Database::new(scratch.path().to_owned(), std::time::Duration::ZERO, MissingDatabase::Refuse)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

    use super::*;

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
        let database = Database::new(path, std::time::Duration::ZERO, MissingDatabase::Refuse);
        for (change, fact) in [
            ("SELECT 1", None),
            ("UPDATE a SET v = 3 WHERE v = 2", Some(("tables", "a"))),
            ("INSERT INTO b VALUES(NULL)", Some(("tables", "b"))),
            ("CREATE INDEX i ON a(v)", Some(("objects", "i"))),
        ] {
            let backup = scratch(directory.path()).await.unwrap();
            let source = copy_locked(&database, &backup, &CancelToken::new()).await.unwrap();
            run(backup.path(), change).await;
            let restored = restore(directory.path(), backup.path()).await.unwrap();
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
        assert!(restore(directory.path(), &path).await.unwrap_err().kind().is_rejection());
    }
}
