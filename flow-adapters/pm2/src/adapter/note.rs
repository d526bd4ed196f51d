use std::path::{Path, PathBuf};

use flow_core::port::InstanceId;
use flow_core::{Name, StepError};
use flow_linux::ProcessId;
use serde::{Deserialize, Serialize};

use crate::file;

/// That one process said that it is ready. PM2 tells it once; this outlives whoever heard it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    boot: String,
    pid: u32,
    /// When it started, in clock ticks since that boot.
    start: u64,
}

/// Where the note of an instance stands.
pub(crate) fn path(state: &Path, service: &Name, instance: &InstanceId) -> PathBuf {
    state.join("ready").join(service.as_str()).join(format!("{instance}.json"))
}

impl Note {
    pub(crate) const fn of(process: ProcessId, boot: String) -> Self {
        Self { boot, pid: process.pid, start: process.start }
    }

    /// Whether this is what stands at `path`. What cannot be read as a note says nothing.
    pub(crate) fn stands(&self, path: &Path) -> Result<bool, StepError> {
        let kept = file::read(path)?;
        Ok(kept.is_some_and(|kept| serde_json::from_slice::<Self>(&kept).is_ok_and(|kept| kept == *self)))
    }

    /// Makes it stand there.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StepError> {
        file::make_directory(path.parent().unwrap_or(Path::new("/")), 0o700)?;
        let written = serde_json::to_vec(self)
            .map_err(|error| StepError::in_doubt("the note has no JSON form").because(error))?;
        file::replace(path, &written)
    }
}
