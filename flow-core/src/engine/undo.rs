use std::sync::Arc;

use futures::future::join_all;

use crate::cancel::CancelToken;
use crate::context::ContextParts;
use crate::durable::{Durable, Milestone, PerformError};
use crate::engine::item::Scope;
use crate::engine::run::{Run, RunEnd, cause_of, running};
use crate::error::{Cause, ErrorKind};
use crate::journal::RunOutcome;
use crate::machine::{Mode, Running, UndoTarget};

impl Run {
    /// Undoes everything that may stand, newest first, and says how that ended.
    ///
    /// The list is frozen first. An undo that keeps failing stops neither the others nor other runs; the run then parks.
    /// A cancel of the run starts or continues undo and never interrupts it.
    pub(crate) async fn roll_back(
        &self,
        durable: &dyn Durable,
        cause: Cause,
    ) -> Result<RunEnd, PerformError> {
        let mut state = durable.state().await?;
        if running(&state)?.undo.is_none() {
            let targets = running(&state)?.undo_plan().targets;
            durable.publish(Milestone::UndoFrozen { cause, targets }).await?;
            state = durable.state().await?;
        }
        let frozen = running(&state)?;
        match frozen.mode {
            Mode::RolledBack => return Ok(RunEnd::RolledBack),
            Mode::Parked => return Ok(RunEnd::Parked(frozen.standing.clone())),
            _ => {}
        }
        // Undoing changes nothing of what it is told: the state and its receipts are taken once, not for every group.
        let parts = self.parts(durable, frozen)?;
        for group in frozen.undo_groups() {
            let ended = join_all(group.iter().map(|target| self.undo(durable, frozen, &parts, target))).await;
            ended.into_iter().collect::<Result<Vec<()>, PerformError>>()?;
        }
        self.settle(durable).await
    }

    /// Undoes one target and records how that went. Only an engine that must hand over is an error.
    async fn undo(
        &self,
        durable: &dyn Durable,
        frozen: &Running,
        parts: &Arc<ContextParts>,
        target: &UndoTarget,
    ) -> Result<(), PerformError> {
        let (stage, step, parts) = (target.stage, target.step.clone(), parts.clone());
        let scope = Scope { durable, setting: &self.setting, parts, cancel: CancelToken::new() };
        let ended = match self.item(stage, &step) {
            Some(item) => item.undo(&scope, frozen).await,
            None => Err(PerformError::Incompatible(format!("the workflow has no `{step}`"))),
        };
        match ended {
            Ok(()) => durable.publish(Milestone::Undone(stage, step)).await,
            Err(error) if error.hands_over() => Err(error),
            Err(error) => durable.publish(Milestone::UndoFailed(stage, step, cause_of(&error))).await,
        }
    }

    async fn settle(&self, durable: &dyn Durable) -> Result<RunEnd, PerformError> {
        let state = durable.state().await?;
        let standing = running(&state)?.still_standing();
        if standing.is_empty() {
            durable.publish(Milestone::Finished(RunOutcome::RolledBack)).await?;
            return Ok(RunEnd::RolledBack);
        }
        let cause = Cause::new(ErrorKind::Failed, "not everything could be undone");
        durable.publish(Milestone::Parked { standing: standing.clone(), cause }).await?;
        Ok(RunEnd::Parked(standing))
    }
}
