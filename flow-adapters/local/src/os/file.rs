//! Files that survive a crash whole: written beside, fsynced, renamed, their directory fsynced.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flow_core::{CancelToken, ErrorKind, StepError};
use rustix::fs::{CWD, Mode};

use super::draft::Draft;

/// Runs file work where it may block.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StepError::in_doubt("the work on files ended early").because(error)),
    }
}

/// Cancels what works for a future when that is dropped: a blocking thread cannot be stopped from outside.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Says whether work on files may go on to its next part.
pub(crate) fn go_on(token: &CancelToken) -> Result<(), StepError> {
    if token.is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "the work on files was cancelled"));
    }
    Ok(())
}

/// The error for a file operation that the system refused before anything was changed.
pub(crate) fn refused(message: &'static str, path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::DirectoryNotEmpty => ErrorKind::Conflict,
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Unavailable,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, message).fact("path", path.display()).because(error)
}

/// Reads a file; none where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StepError> {
    let mut content = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused("the file cannot be read", path, error)),
    }
}

/// Replaces a file, readable by this user alone. The caller holds the lock that makes it the only writer.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StepError> {
    let beside = beside(path);
    let written = write_beside(&beside, content).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // What stands beside is swept by the next writer as well, should this not succeed.
        let _ = fs::remove_file(&beside);
        return Err(refused("the file cannot be written", path, error));
    }
    sync_parent(path)
}

/// Removes a file; one that is not there is done.
pub(crate) fn remove(path: &Path) -> Result<(), StepError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused("the file cannot be removed", path, error)),
    }
}

/// Makes a directory and its parents, readable by this user alone where they are new.
pub(crate) fn make_directory(path: &Path) -> Result<(), StepError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| refused("the directory cannot be made", path, error))?;
    sync_parent(path)
}

fn write_beside(beside: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = Draft::begin(CWD, beside, Mode::RUSR | Mode::WUSR)?;
    draft.write_all(content)?;
    draft.sync()
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn sync_parent(path: &Path) -> Result<(), StepError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(|error| {
        // The rename has happened; only whether it outlives a loss of power is open.
        refused("the directory cannot be made durable", parent, error).after_effect()
    })
}
