//! The only file that talks to the outside. Fill in the three methods.

use std::path::PathBuf;

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
        Err(self.not_written_yet(name))
    }

    /// Puts `content` in the place of what stands under `name`: a reader sees the old one or the new one, whole, and what is put
    /// survives the loss of power. Where it fails the old one stands and nothing is left beside it.
    pub(crate) fn replace(&self, name: &Name, content: &[u8]) -> Result<(), StepError> {
        let _ = content;
        Err(self.not_written_yet(name))
    }

    /// Removes what stands under `name`; what is not there is done.
    pub(crate) fn remove(&self, name: &Name) -> Result<(), StepError> {
        Err(self.not_written_yet(name))
    }

    fn not_written_yet(&self, name: &Name) -> StepError {
        StepError::new(ErrorKind::Unavailable, "this method of the template is not written yet")
            .fact("path", self.directory.join(name.as_str()).display())
    }
}
