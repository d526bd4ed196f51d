//! One writer at a time, over processes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};

use super::file::refused;

const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// An exclusive lock on a file. It ends with its holder: dropped, exited or killed.
///
/// A process that is being started holds it too until it has become its program: the descriptor is copied by the
/// fork and closed by the exec. So whoever gets the lock after a controller was killed sees what that one started.
/// A clone is the same lock: work that may outlive its caller takes one along.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    _file: Arc<File>,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock at `path`, waiting for a while.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] while somebody else holds on to it.
    pub(crate) async fn take(clock: &dyn Clock, path: PathBuf) -> Result<Self, StepError> {
        let begun = clock.monotonic();
        loop {
            if let Some(file) = attempt(&path)? {
                return Ok(Self { _file: Arc::new(file), path });
            }
            if clock.monotonic().saturating_sub(begun) >= PATIENCE {
                return Err(StepError::new(ErrorKind::Unavailable, "somebody else is at work on it")
                    .fact("lock", path.display()));
            }
            clock.sleep(POLL).await;
        }
    }

    /// Removes the lock's file. The lock is held until it is dropped; who waits for it will see that the file is another.
    pub(crate) fn remove(&self) {
        // A file that stays does no harm: it is empty, and the next holder takes it as it is.
        let _ = fs::remove_file(&self.path);
    }
}

/// The locked file, or none where somebody else holds it or has removed it meanwhile.
fn attempt(path: &Path) -> Result<Option<File>, StepError> {
    let unusable = |error| refused("the lock cannot be taken", path, error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let held = file.metadata().map_err(unusable)?;
    match fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(error)),
    }
}
