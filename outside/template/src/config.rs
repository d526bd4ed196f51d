use std::path::PathBuf;

use flow_core::Problems;

/// Where the configurations stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateConfig {
    /// The directory, an absolute path. It must exist.
    pub directory: PathBuf,
}

impl TemplateConfig {
    /// Checks the fields.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.directory.is_absolute(), "directory", "must be an absolute path");
        problems.check(self.directory.is_dir(), "directory", "must be a directory that exists");
        problems.into_result()
    }
}
