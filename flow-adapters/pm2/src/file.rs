//! Small files that survive a crash whole, and one writer at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};

const POLL: Duration = Duration::from_millis(10);
/// How long to wait for who works on one file, instance or address.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The error for a file operation that the system refused before anything was changed.
pub(crate) fn refused(message: &'static str, path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
            ErrorKind::Conflict
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Unavailable,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, message).fact("path", path.display()).because(error)
}

/// Reads a file; none where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StepError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused("the file cannot be read", path, error)),
    }
}

/// Replaces a file: written beside, readable by this user alone, fsynced, renamed, its directory fsynced.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StepError> {
    let beside = path.with_added_extension("new");
    let write = || -> io::Result<()> {
        // What a dead writer left was never complete.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&beside);
        return Err(refused("the file cannot be written", path, error));
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| refused("the directory cannot be made durable", parent, error).after_effect())
}

/// Removes a file; one that is not there is done.
pub(crate) fn remove(path: &Path) -> Result<(), StepError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("the file cannot be removed", path, error))
        }
        _ => Ok(()),
    }
}

/// Makes a directory and its parents with `mode` where they are new.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), StepError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| refused("the directory cannot be made", path, error))
}

/// An exclusive lock on a file. It ends with its holder: dropped, exited or killed. Its empty file stays.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, and waits for `patience` for who holds it.
    pub(crate) async fn take(
        clock: &dyn Clock,
        path: PathBuf,
        patience: Duration,
    ) -> Result<Self, StepError> {
        make_directory(path.parent().unwrap_or(Path::new("/")), 0o700)?;
        let begun = clock.monotonic();
        loop {
            if let Some(file) = attempt(&path)? {
                return Ok(Self { _file: file });
            }
            if clock.monotonic().saturating_sub(begun) >= patience {
                return Err(StepError::new(ErrorKind::Unavailable, "somebody else is at work on it")
                    .fact("lock", path.display()));
            }
            clock.sleep(POLL).await;
        }
    }
}

/// The locked file; none where somebody else holds it.
fn attempt(path: &Path) -> Result<Option<File>, StepError> {
    let unusable = |error| refused("the lock cannot be taken", path, error);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Whether a path is a Unix socket.
pub(crate) fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket() && found.nlink() > 0)
}
