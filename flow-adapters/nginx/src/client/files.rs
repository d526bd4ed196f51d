//! Files of this machine that survive a crash whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, StepError};

/// Runs file work where it may block.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StepError::in_doubt("the work on files ended early").because(error)),
    }
}

/// The error for what the system refused before anything was changed.
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
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused("the file cannot be read", path, error)),
    }
}

/// Replaces a file: written beside, fsynced, renamed over it, its directory fsynced. It keeps its mode and its owner; a new one has `mode`.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), StepError> {
    write_beside(path, content, mode)?;
    put_in_place(path)?;
    sync_parent(path)
}

/// The first half of [`replace`]: what is to come stands fsynced beside the file.
pub(crate) fn write_beside(path: &Path, content: &[u8], mode: u32) -> Result<(), StepError> {
    let beside = beside(path);
    let written = write_new(&beside, content, mode).and_then(|file| {
        if let Ok(old) = fs::metadata(path) {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        file.sync_all()
    });
    written.map_err(|error| given_up(path, error))
}

/// The second half of [`replace`]: what stands beside the file takes its place.
pub(crate) fn put_in_place(path: &Path) -> Result<(), StepError> {
    fs::rename(beside(path), path).map_err(|error| given_up(path, error))
}

/// Where what is to replace a file is written.
pub(crate) fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()))
}

fn given_up(path: &Path, error: io::Error) -> StepError {
    let _ = fs::remove_file(beside(path));
    refused("the file cannot be written", path, error)
}

/// Makes a directory and its parents. The mode is what is asked for, whatever the process's mask.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), StepError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent, mode)?;
    }
    add_directory(path, mode)?;
    sync_parent(path)
}

/// Makes a directory in one that is there. It need not outlive a loss of power yet.
pub(crate) fn add_directory(path: &Path, mode: u32) -> Result<(), StepError> {
    let made = match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    };
    made.map_err(|error| refused("the directory cannot be made", path, error))
}

/// Makes what was done in the directory of `path` outlive a loss of power.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StepError> {
    sync(path.parent().unwrap_or(Path::new("/")))
}

pub(crate) fn sync(directory: &Path) -> Result<(), StepError> {
    let lasting = |error| refused("the directory cannot be made durable", directory, error).after_effect();
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(lasting)
}

/// A lock that is held until this is dropped. It is given back by name: a process that is being started has a copy of the open file until
/// it becomes another program, and would hold the lock as long.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock at `path`.
pub(crate) fn lock(path: &Path) -> Result<Lock, StepError> {
    let unusable = |error| refused("the lock cannot be taken", path, error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            Err(StepError::new(ErrorKind::Unavailable, "somebody else changes the routing")
                .fact("lock", path.display()))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Writes a file that takes the place of whatever stands there. It need not outlive a loss of power yet.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_given_back_is_free_though_a_process_that_is_being_started_has_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = lock(&path).unwrap();
        assert_eq!(lock(&path).unwrap_err().kind(), ErrorKind::Unavailable);
        let _copy = held.0.try_clone().unwrap();
        drop(held);
        lock(&path).unwrap();
    }
}
