//! Where a run stands, by what its journal says.

use anyhow::Result;
use flow_core::RunId;
use flow_core::journal::{self, JournalStore as _};
use flow_core::machine::{Mode, State};
use flow_journal::SqliteJournal;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing of it was recorded.
    Unknown,
    /// Under way, or on its way back.
    UnderWay,
    /// Verified; the old colour is kept warm.
    Warm,
    /// Verified, and nothing is kept.
    Completed,
    RolledBack,
}

impl Standing {
    pub(crate) async fn of(run: &RunId, store: &SqliteJournal) -> Result<Self> {
        let records = journal::read(&store.load(run).await?)?;
        let state = State::replay(records.iter().map(|record| &record.entry))?;
        Ok(match state.running() {
            None => Self::Unknown,
            Some(running) if running.mode == Mode::Forward && running.stage.is_none() => Self::Warm,
            Some(running) => match running.mode {
                Mode::Completed => Self::Completed,
                Mode::RolledBack | Mode::Closed => Self::RolledBack,
                _ => Self::UnderWay,
            },
        })
    }
}
