//! Takes an operator's word for what became of a statement, where the database cannot say.

use flow_core::{ErrorKind, Permit, StepError};
use flow_sql::{Script, Version};

use super::course::Direction;
use super::down::way_back;
use super::migration::Running;
use super::site::Site;
use super::stepwise::reached_by;
use crate::config::Waits;
use crate::engine::Engine;
use crate::ledger::{Progress, Reached};

/// What became of a statement that was under way when its run was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// All of it stands, by itself or finished by hand.
    Applied,
    /// Nothing of it stands, by itself or taken back by hand.
    NotApplied,
}

/// Records what became of the statement of `version` that is in doubt.
pub(crate) async fn resolve(
    engine: &dyn Engine,
    waits: &Waits,
    scripts: &[Script],
    permit: &Permit,
    version: &Version,
    resolution: Resolution,
) -> Result<(), StepError> {
    let mut site = Site::enter(engine, waits, permit).await?;
    let ended = record(&mut site, scripts, version, resolution).await;
    let left = site.leave().await;
    ended.map_err(|error| error.fact("version", version)).and(left)
}

async fn record(
    site: &mut Site<'_>,
    scripts: &[Script],
    version: &Version,
    resolution: Resolution,
) -> Result<(), StepError> {
    let none = || StepError::new(ErrorKind::Conflict, "no statement of the migration is in doubt");
    let row = site.applied.iter().find(|row| row.version == *version).cloned().ok_or_else(none)?;
    let (direction, mut reached, statements) = match &row.progress {
        Progress::Applying(reached) => {
            let script = scripts.iter().find(|script| script.version == *version).ok_or_else(none)?;
            (Direction::Up, reached.clone(), script.up.statements.clone())
        }
        Progress::Reverting(reached) | Progress::Unwinding(reached) => {
            (Direction::Down, reached.clone(), way_back(site.engine.dialect(), &row)?.statements)
        }
        Progress::Whole | Progress::Foreign => return Err(none()),
    };
    let Reached { done, begun: Some(_), .. } = reached else { return Err(none()) };
    let running = Running { version, direction, statements: &statements };
    let applied = reached_by(&statements, done + 1);
    match site.look(running, &mut reached).await? {
        Some(_) if resolution == Resolution::Applied => reached = applied,
        Some(_) => {}
        None if (reached == applied) == (resolution == Resolution::Applied) => {}
        None => {
            let error = StepError::new(ErrorKind::Conflict, "the database shows otherwise");
            return Err(
                error.fact("stands", reached.describe(u32::try_from(statements.len()).unwrap_or(u32::MAX)))
            );
        }
    }
    site.record(vec![site.history.reach(version, &reached)]).await
}
