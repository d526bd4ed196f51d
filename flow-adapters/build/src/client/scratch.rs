//! Directories that nobody sees until what they hold is whole, and that a crash leaves for the next one to remove.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use flow_core::{Entropy as _, StepError, SystemEntropy};

use super::files::{make_directory, refused, remove, stands};
use super::process::end_noted;

/// The name of the note in a scratch directory.
const NOTE: &str = "process";

/// A private directory below `<root>/.flow/tmp`, on the same file system as `root`; removed when dropped.
///
/// It is held by a lock on the directory itself. A process that dies loses its locks, so whoever makes the next
/// scratch directory can tell what is left over from what is in use.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _held: File,
}

impl Scratch {
    pub(crate) fn make(root: &Path) -> Result<Self, StepError> {
        let all = root.join(".flow/tmp");
        let problem = |error| refused("the directory cannot be written to", &all, error);
        make_directory(&all).map_err(problem)?;
        let door = File::open(&all).map_err(problem)?;
        // Held while one is made or swept: a directory that is made but not yet locked would look left over.
        door.lock().map_err(problem)?;
        sweep(&all).map_err(problem)?;
        let made = make_new(&all).map_err(problem)?;
        door.unlock().map_err(problem)?;
        Ok(made)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a process that works in it is noted: whoever sweeps it ends that process first.
    pub(crate) fn note(&self) -> PathBuf {
        self.path.join(NOTE)
    }

    /// A new, empty directory in it.
    pub(crate) fn make_directory(&self, prefix: &str) -> Result<PathBuf, StepError> {
        let path = self.free(prefix)?;
        fs::create_dir(&path).map_err(|error| refused("the directory cannot be made", &path, error))?;
        Ok(path)
    }

    /// A path in it where nothing stands.
    pub(crate) fn free(&self, prefix: &str) -> Result<PathBuf, StepError> {
        for number in 0_u32..=u32::MAX {
            let path = self.path.join(format!("{prefix}{number}"));
            if !stands(&path).map_err(|error| refused("the directory cannot be read", &path, error))? {
                return Ok(path);
            }
        }
        Err(StepError::in_doubt("the scratch directory is full").fact("path", self.path.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whatever cannot be removed now is swept by the next one.
        let _ = remove(&self.path);
    }
}

/// Makes a directory under a name that was never used: a program that outlived its controller may still write to the
/// path that it was told, and must not meet somebody else's files there.
fn make_new(all: &Path) -> io::Result<Scratch> {
    loop {
        let path = all.join(format!("{:016x}", SystemEntropy.next()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let held = File::open(&path)?;
                held.lock()?;
                return Ok(Scratch { path, _held: held });
            }
        }
    }
}

/// Removes what dead processes left. A failure here is no reason to refuse work: the rest stays for the next time.
fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        let is_held = File::open(&path).is_ok_and(|directory| directory.try_lock().is_err());
        if !is_held {
            end_noted(&path.join(NOTE));
            let _ = remove(&path);
        }
    }
    Ok(())
}
