//! The orders as the database file has them now, read without a lock.
//!
//! The standard library has no SQLite and no locks that SQLite would see. What makes reading safe all the same is the
//! rollback journal, <https://www.sqlite.org/atomiccommit.html>: a writer changes the file only while its journal
//! begins with a byte other than zero, and a commit changes the counter in the file's header.
//! So the file is read between two looks at journal and header, and again whenever the two looks differ. While the header
//! is the one that was read last, nothing was committed since and nothing is read again.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::sqlite_file::{Table, Unreadable, read_table};

/// How long a reader waits between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// The header of a database file, with the counter of its commits.
const HEADER: usize = 100;

/// One table of a database file.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    journal: PathBuf,
    table: &'static str,
    patience: Duration,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    state: State,
    table: Arc<Table>,
}

/// What every commit changes.
#[derive(Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    header: [u8; HEADER],
}

/// What every write changes, also one that is taken back.
type Written = (i64, i64, u64);

impl Database {
    /// The table `table` of the file at `path`; a reader waits for a writer for as long as `patience`.
    pub(crate) fn new(path: PathBuf, table: &'static str, patience: Duration) -> Self {
        let mut journal = path.clone().into_os_string();
        journal.push("-journal");
        Self { path, journal: journal.into(), table, patience, kept: Mutex::new(None) }
    }

    /// The table as it was last committed.
    pub(crate) fn read(&self) -> Result<Arc<Table>, Unreadable> {
        let deadline = Instant::now() + self.patience;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(table) = self.attempt(&mut kept)? {
                return Ok(table);
            }
            if Instant::now() >= deadline {
                return Err(Unreadable::new("the database is being written for too long"));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Reads once; nothing where a writer came between.
    fn attempt(&self, kept: &mut Option<Kept>) -> Result<Option<Arc<Table>>, Unreadable> {
        let (mut file, before, written) = self.look()?;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.state == before) {
            return Ok(Some(Arc::clone(&kept.table)));
        }
        // The journal is looked at after the first header and before the second: the other way round, a
        // commit could begin or end between the two unseen.
        if self.is_being_written()? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(|error| self.failed(&error))?;
        if self.is_being_written()? {
            return Ok(None);
        }
        let (_, after, written_after) = self.look()?;
        if before != after || written != written_after {
            return Ok(None);
        }
        let table = Arc::new(read_table(&bytes, self.table)?);
        *kept = Some(Kept { state: after, table: Arc::clone(&table) });
        Ok(Some(table))
    }

    fn look(&self) -> Result<(fs::File, State, Written), Unreadable> {
        let mut file = fs::File::open(&self.path).map_err(|error| self.failed(&error))?;
        let metadata = file.metadata().map_err(|error| self.failed(&error))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|error| self.failed(&error))?;
        let state = State { device: metadata.dev(), inode: metadata.ino(), header };
        Ok((file, state, (metadata.mtime(), metadata.mtime_nsec(), metadata.size())))
    }

    fn is_being_written(&self) -> Result<bool, Unreadable> {
        let mut first = [0];
        match fs::File::open(&self.journal).and_then(|mut journal| journal.read(&mut first)) {
            // Without a first byte, or with zero, the writer has not begun or is done.
            Ok(read) => Ok(read == 1 && first != [0]),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Unreadable {
        Unreadable::new(format!("`{}`: {error}", self.path.display()))
    }
}
