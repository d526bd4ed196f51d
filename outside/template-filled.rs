//! The template's three methods, filled in for files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, Name, StepError};

/// The directory as this adapter sees it.
#[derive(Debug)]
pub(crate) struct Client {
    directory: PathBuf,
}

impl Client {
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What stands under `name`; none where nothing does. An error never shows what stands there.
    pub(crate) fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        let path = self.directory.join(name.as_str());
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused("the configuration cannot be read", &path, error)),
        }
    }

    /// Puts `content` in the place of what stands under `name`: a reader sees the old one or the new one, whole, and what is put
    /// survives the loss of power. Where it fails the old one stands and nothing is left beside it.
    pub(crate) fn replace(&self, name: &Name, content: &[u8]) -> Result<(), StepError> {
        let path = self.directory.join(name.as_str());
        let beside = self.directory.join(format!(".{name}.new"));
        let written = write(&beside, content).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            // It may never have come to stand there.
            let _ = fs::remove_file(&beside);
            return Err(refused("the configuration cannot be written", &path, error));
        }
        self.settle()
    }

    /// Removes what stands under `name`; what is not there is done.
    pub(crate) fn remove(&self, name: &Name) -> Result<(), StepError> {
        let path = self.directory.join(name.as_str());
        match fs::remove_file(&path) {
            Ok(()) => self.settle(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(refused("the configuration cannot be removed", &path, error)),
        }
    }

    /// A change of the directory itself must survive the loss of power too.
    fn settle(&self) -> Result<(), StepError> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| {
            refused("the directory cannot be synced", &self.directory, error).after_effect()
        })
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn refused(message: &'static str, path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::StorageFull => ErrorKind::Unavailable,
        _ => ErrorKind::Conflict,
    };
    StepError::new(kind, message).fact("path", path.display()).because(error)
}
