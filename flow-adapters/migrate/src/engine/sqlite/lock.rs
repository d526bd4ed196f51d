//! One migrator at a time, by a file beside the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};

use super::{Database, Durability, SqliteSession};
use crate::engine::wait::Wait;
use crate::engine::{Lock, Owner, Session};
use crate::files::about;

/// The kernel holds it for as long as the process lives and has the file open, and not a moment longer: nothing of a dead owner
/// has to be recognised as stale. What stands in the file only names the owner to others.
///
/// The lock is `flock`'s, which neither sees nor is seen by the locks that SQLite takes.
#[derive(Debug)]
pub(super) struct SqliteLock {
    file: File,
    path: PathBuf,
    session: SqliteSession,
}

impl SqliteLock {
    pub(super) async fn take(
        database: &Database,
        owner: &Owner,
        patience: std::time::Duration,
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        let path = beside(database.path());
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(|error| about(&path, error))?;
        let mut wait = Wait::new(patience, cancel);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if wait.again().await? => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder).map_err(|error| about(&path, error))?;
                    // It is named right after it is taken.
                    let holder =
                        if holder.is_empty() { "a migrator that has just begun" } else { holder.trim_end() };
                    return Err(StepError::new(ErrorKind::Unavailable, "another migrator holds the lock")
                        .fact("holder", holder));
                }
                Err(TryLockError::Error(error)) => return Err(about(&path, error)),
            }
        }
        name(&mut file, owner).map_err(|error| about(&path, error))?;
        let session = database.write(Durability::Durable, cancel).await?;
        Ok(Self { file, path, session })
    }
}

/// Writes who holds the lock: the process and when it began, as ids come again.
fn name(file: &mut File, owner: &Owner) -> std::io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The 22nd field, counted from behind the name of the program, which may hold anything.
    let began = status.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19));
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} began {}", owner.0, began.unwrap_or("unknown"))
}

fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-flow.lock");
    path.into()
}

#[async_trait]
impl Lock for SqliteLock {
    async fn verify(&mut self) -> Result<(), StepError> {
        use std::os::unix::fs::MetadataExt as _;
        let held = self.file.metadata().map(|found| (found.dev(), found.ino()));
        let named = std::fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        match (held, named) {
            (Ok(held), Ok(named)) if held == named => Ok(()),
            _ => Err(StepError::new(ErrorKind::Conflict, "the lock of the migrators was lost")
                .fact("path", self.path.display())),
        }
    }

    fn session(&mut self) -> &mut dyn Session {
        &mut self.session
    }

    async fn release(self: Box<Self>) -> Result<(), StepError> {
        self.session.close().await?;
        self.file.unlock().map_err(|error| about(&self.path, error))
    }
}
