//! The directory of scripts, and files that outlive a power failure.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flow_core::{Digest, ErrorKind, StepError};
use sha2::{Digest as _, Sha256};

use crate::scripts::{Content, Entry};

/// Runs blocking work on files beside the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StepError::in_doubt("the work on files was cut short").because(error))?
}

/// Every entry of the directory of scripts.
pub(crate) fn entries(directory: &Path) -> Result<Vec<Entry>, StepError> {
    let listed = fs::read_dir(directory).map_err(|error| about(directory, error))?;
    let read = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|error| about(directory, error))?;
        let path = entry.path();
        // Follows links, as the reader of the file will.
        let content = match fs::metadata(&path).map_err(|error| about(&path, error))? {
            found if found.is_dir() => Content::Directory,
            _ => Content::File(fs::read(&path).map_err(|error| about(&path, error))?),
        };
        Ok(Entry { name: entry.file_name(), content })
    };
    listed.map(read).collect()
}

/// The digest of a file's bytes.
pub(crate) fn digest(path: &Path) -> Result<Digest, StepError> {
    let mut file = File::open(path).map_err(|error| about(path, error))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|error| about(path, error))? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Copies a file's bytes.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), StepError> {
    fs::copy(from, to).map(drop).map_err(|error| about(from, error))
}

/// Gives a finished file its name, and returns when a power failure takes neither back.
pub(crate) fn keep(finished: &Path, name: PathBuf) -> Result<PathBuf, StepError> {
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(finished).map_err(|error| about(finished, error))?;
    fs::rename(finished, &name).map_err(|error| about(&name, error))?;
    let directory = name.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(directory).map_err(|error| about(directory, error).after_effect())?;
    Ok(name)
}

/// What a failure on a path means.
pub(crate) fn about(path: &Path, error: io::Error) -> StepError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no such file or directory"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "the file system refuses access")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Failed, "the disk is full"),
        _ => (ErrorKind::Failed, "the file system reports an error"),
    };
    StepError::new(kind, message).fact("path", path.display()).because(error)
}
