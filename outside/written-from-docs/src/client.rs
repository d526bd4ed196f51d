use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as Io, Read, Write};
use std::path::Path;

use flow_core::{ErrorKind, StepError};

use crate::LedgerfileConfig;

/// The file itself: knows bytes and durability, and nothing of what the lines say.
#[derive(Clone, Debug)]
pub(crate) struct Client(pub(crate) LedgerfileConfig);

impl Client {
    /// Makes the file with its first line. A crash within leaves a file that is not whole, and is never read as one.
    pub(crate) fn create(&self, first: &[u8]) -> Result<(), StepError> {
        let path = self.0.path();
        let mut file = File::create_new(path).map_err(|error| self.unchanged("the ledger cannot be created", error))?;
        file.write_all(first)
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all())
            .map_err(|error| self.unchanged("the new ledger was not made durable", error).after_effect())
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>, StepError> {
        fs::read(self.0.path()).map_err(|error| self.unchanged("the ledger cannot be read", error))
    }

    /// Opens the file for one append, which nobody else may make meanwhile.
    pub(crate) fn begin(&self) -> Result<Append<'_>, StepError> {
        let unopened = |error| self.unchanged("the ledger cannot be opened for appending", error);
        let mut file = OpenOptions::new().read(true).append(true).open(self.0.path()).map_err(unopened)?;
        file.try_lock().map_err(|error| unopened(error.into()))?;
        let mut stood = Vec::new();
        file.read_to_end(&mut stood).map_err(unopened)?;
        Ok(Append { client: self, file, stood })
    }

    fn unchanged(&self, message: &'static str, error: io::Error) -> StepError {
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::AlreadyExists => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        StepError::new(kind, message).fact("path", self.0.path().display()).because(error)
    }
}

/// The file while one process alone may append to it.
pub(crate) struct Append<'a> {
    client: &'a Client,
    file: File,
    /// What stood in the file when it was opened.
    pub(crate) stood: Vec<u8>,
}

impl Append<'_> {
    /// Appends `bytes`, which may be none, and answers when the whole file is durable. Where that fails it takes back what it
    /// wrote, as far as it can.
    pub(crate) fn commit(mut self, bytes: &[u8]) -> Result<(), StepError> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_all()).map_err(|error| {
            let cut = self.file.set_len(self.stood.len() as u64).and_then(|()| self.file.sync_all());
            StepError::in_doubt("the ledger was not made durable")
                .fact("path", self.client.0.path().display())
                .fact("taken back", cut.is_ok())
                .because(error)
        })
    }
}
