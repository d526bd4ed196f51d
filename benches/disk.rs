use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_journal::SqliteJournal;
use tempfile::TempDir;

use crate::Error;

/// A directory on the disk that builds go to: what a temporary directory is made of, nobody knows.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// An empty directory below `parent`, removed with this.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn below(parent: &str) -> Result<Self, Error> {
        Ok(Self(tempfile::tempdir_in(parent)?))
    }

    /// A journal in a file of its own.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn journal(&self, name: &str) -> Result<Arc<SqliteJournal>, Error> {
        Ok(Arc::new(SqliteJournal::open(self.path(name)).await?))
    }

    /// A file to append bare records to.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn log(&self, name: &str) -> Result<BareLog, Error> {
        BareLog::at(&self.path(name))
    }

    /// Where the file called `name` lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A file that takes one record after the other, each durable before the next: the least that a journal can cost.
#[derive(Debug)]
pub struct BareLog(File);

impl BareLog {
    fn at(path: &Path) -> Result<Self, Error> {
        Ok(Self(OpenOptions::new().append(true).create_new(true).open(path)?))
    }

    /// Appends `record`, waits until it is durable, and says how long that took.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn append(&mut self, record: &[u8]) -> Result<Duration, std::io::Error> {
        let began = Instant::now();
        self.0.write_all(record)?;
        self.0.sync_data()?;
        Ok(began.elapsed())
    }
}
