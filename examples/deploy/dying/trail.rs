use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::Death;

/// What the process leaves of itself outside the journal, a line each: what it appended, which effects it began and how
/// they ended, and where it died. One write a line, so a killed process leaves whole lines.
///
/// `process ID`, `appending RECORD ..`, `appended RECORD ..`, `start CALL ATTEMPT`, `end CALL done|failed POLLS` (how often it
/// was polled without being done), `died DEATH`.
#[derive(Debug)]
pub(crate) struct Trail {
    file: Option<File>,
    death: Option<Death>,
}

impl Trail {
    /// A trail in the file at `path`, after what stands there; none where there is no path.
    pub(crate) fn open(path: Option<&Path>, death: Option<Death>) -> Result<Arc<Self>> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("`{}`", path.display()))
        };
        let trail = Self { file: path.map(open).transpose()?, death };
        trail.note(format_args!("process {}", std::process::id()));
        Ok(Arc::new(trail))
    }

    pub(super) fn note(&self, line: fmt::Arguments<'_>) {
        if let Some(mut file) = self.file.as_ref() {
            // A trail that cannot be kept is missed by the test that reads it.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Ends this process if it is to die at a point that `is_here` knows.
    pub(super) fn die_if(&self, is_here: impl FnOnce(&Death) -> bool) {
        let Some(death) = self.death.as_ref().filter(|death| is_here(death)) else { return };
        self.note(format_args!("died {death}"));
        if let Some(file) = &self.file {
            let _ = file.sync_all();
        }
        // There is no way to fail here that matters: the process has asked for its own end.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
