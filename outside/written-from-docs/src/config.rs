use std::path::{Path, PathBuf};

use flow_core::Problems;

/// Where the ledger lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerfileConfig {
    path: PathBuf,
}

impl LedgerfileConfig {
    /// Takes the path of the ledger: absolute, so that every process that is given it means the same file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the path.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, Problems> {
        let path = path.into();
        let mut problems = Problems::default();
        problems.check(path.is_absolute(), "path", "must be absolute");
        problems.check(path.file_name().is_some(), "path", "must end in a file name");
        problems.into_result().map(|()| Self { path })
    }

    /// The path of the ledger.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
