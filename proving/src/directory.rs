use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::Outside;

/// A temporary directory that the workers of a server started by root can enter (0755). It is removed with its last clone;
/// each server holds one, so no server outlives its directory.
#[derive(Debug, Clone)]
pub struct Directory(Arc<TempDir>);

impl Directory {
    /// A fresh one, with a path short enough for sockets in it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new() -> Outside<Self> {
        let directory = tempfile::Builder::new().prefix("flow-").tempdir()?;
        // Links in it are followed by other users only because it is neither sticky nor writable by all
        // (`fs.protected_symlinks`).
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        Ok(Self(Arc::new(directory)))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
