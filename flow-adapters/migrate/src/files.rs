//! The directory of scripts, and files that outlive a power failure.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flow_core::{Digest, ErrorKind, StepError};
use flow_sql::{Entry, MAX_FILE_BYTES, MAX_FILES};
use sha2::{Digest as _, Sha256};

/// Runs blocking work on files beside the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StepError::in_doubt("the work on files was cut short").because(error))?
}

/// How deep folders of scripts may stand in each other: links may lead in a circle.
const DEPTH_MAX: usize = 8;

/// Every file below the directory of scripts that can belong to a migration.
pub(crate) fn entries(directory: &Path) -> Result<Vec<Entry>, StepError> {
    let mut entries = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let listed = directory.join(&folder);
        for entry in fs::read_dir(&listed).map_err(|error| about(&listed, error))? {
            let path = folder.join(entry.map_err(|error| about(&listed, error))?.file_name());
            let whole = directory.join(&path);
            // Follows links, as the reader of the file will.
            let found = fs::metadata(&whole).map_err(|error| about(&whole, error))?;
            if found.is_dir() && depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if found.is_file() && Entry::is_wanted(&path) {
                if found.len() > MAX_FILE_BYTES as u64 || entries.len() >= MAX_FILES {
                    return Err(StepError::new(ErrorKind::Invalid, "the folder of scripts is too large")
                        .fact("path", whole.display()));
                }
                let bytes = fs::read(&whole).map_err(|error| about(&whole, error))?;
                entries.push(Entry { path, bytes });
            }
        }
    }
    Ok(entries)
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
