//! What stands beside each backup: when it was made, of what, and what was proved of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flow_core::port::BackupProof;
use flow_core::{ErrorKind, StepError};
use serde::{Deserialize, Serialize};

use crate::files::{self, about};
use crate::scratch::Scratch;

const SUFFIX: &str = ".proof.json";

/// The file `<backup>.proof.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// The database, without a password.
    pub(super) source: String,
    /// The server's version in its own words.
    pub(super) server: String,
    /// Milliseconds since 1970.
    pub(super) made_ms: u64,
    /// How long writers had to wait, in milliseconds.
    pub(super) locked_ms: u64,
    pub(super) proof: BackupProof,
}

impl Certificate {
    /// Puts it beside its backup, on the disk. Blocks.
    pub(super) fn keep(&self, directory: &Path) -> Result<(), StepError> {
        let draft = Scratch::new(directory)?;
        let json = serde_json::to_vec_pretty(self).map_err(|error| {
            StepError::new(ErrorKind::Failed, "the proof cannot be written").because(error)
        })?;
        fs::write(draft.path(), json).map_err(|error| about(draft.path(), error))?;
        files::keep(draft.path(), beside(&self.proof.backup.path)).map(drop)
    }

    /// Reads what stands beside `backup`. Blocks.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where nothing does, [`Conflict`](ErrorKind::Conflict) where it is no proof.
    pub(super) fn of(backup: &Path) -> Result<Self, StepError> {
        let path = beside(backup);
        let json = fs::read(&path).map_err(|error| about(&path, error))?;
        serde_json::from_slice(&json).map_err(|error| {
            StepError::new(ErrorKind::Conflict, "the proof of the backup cannot be read")
                .fact("path", path.display())
                .because(error)
        })
    }

    pub(super) fn age(&self) -> Duration {
        now().saturating_sub(Duration::from_millis(self.made_ms))
    }
}

/// Where the proof of `backup` stands.
pub(super) fn beside(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// The backups in `directory`, proved or not: their names begin with their digest. Blocks.
pub(super) fn backups(directory: &Path) -> Result<Vec<PathBuf>, StepError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| about(directory, error))? {
        let path = entry.map_err(|error| about(directory, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = name.split('.').next().unwrap_or_default();
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest && !name.ends_with(SUFFIX) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Since 1970.
pub(super) fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
