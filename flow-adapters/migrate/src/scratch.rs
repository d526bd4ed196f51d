//! Copies of the database that are gone when nobody needs them any more.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flow_core::StepError;

use crate::files::about;

const PREFIX: &str = ".flow-scratch-";
const LOCK: &str = ".flow-scratch.lock";

/// An empty file of mode 0600 in the directory of backups, removed when this is dropped.
///
/// A process that dies leaves its file behind; the next one finds it unlocked and removes it. The lock is `flock`'s,
/// which neither sees nor is seen by the locks that SQLite takes.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _locked: File,
}

impl Scratch {
    /// Makes one in `directory`, which is made too if it is missing. Blocks.
    pub(crate) fn new(directory: &Path) -> Result<Self, StepError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| about(directory, error))?;
        // Held until the file is locked, so that nobody sweeps away a file that is just being made.
        let lock = directory.join(LOCK);
        let held = private().create(true).truncate(false).open(&lock).map_err(|error| about(&lock, error))?;
        held.lock().map_err(|error| about(&lock, error))?;
        sweep(directory).map_err(|error| about(directory, error))?;
        Self::make(directory).map_err(|error| about(directory, error))
    }

    fn make(directory: &Path) -> io::Result<Self> {
        let mut number = 0_u64;
        loop {
            let path = directory.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match private().create_new(true).open(&path) {
                Ok(file) => {
                    file.lock()?;
                    return Ok(Self { path, _locked: file });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whatever cannot be removed now is swept away by the next one. A kept backup was renamed and is not there.
        let _ = fs::remove_file(&self.path);
        for suffix in SIDE_FILES {
            let _ = fs::remove_file(with_suffix(&self.path, suffix));
        }
    }
}

const SIDE_FILES: [&str; 3] = ["-journal", "-wal", "-shm"];

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Removes what dead processes left behind.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(PREFIX) || SIDE_FILES.iter().any(|suffix| name.ends_with(suffix)) {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            // Its owner removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {
                for suffix in SIDE_FILES {
                    let _ = fs::remove_file(with_suffix(&path, suffix));
                }
                fs::remove_file(&path)?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}
