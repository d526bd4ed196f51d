//! Finds out where an interrupted run stands.

use flow_core::{Digest, ErrorKind, StepError};

use super::conduct::sets;
use super::migration::Running;
use super::site::Site;
use super::stepwise::reached_by;
use crate::engine::wait::Wait;
use crate::ledger::{Begun, Reached};

impl Site<'_> {
    /// Settles whether the statement that was begun took effect, from the server's own state: first that nothing runs it any more, then
    /// what stands of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where the part that stands is not the script's, or a statement stands in part;
    /// [`ErrorKind::Unavailable`] where the old session does not end.
    pub(super) async fn settle(
        &mut self,
        running: Running<'_>,
        reached: &mut Reached,
    ) -> Result<(), StepError> {
        self.look(running, reached).await?.map_or(Ok(()), Err)
    }

    /// Settles it, or gives the doubt that stays: the statement stands in part, or its effect cannot be seen.
    pub(super) async fn look(
        &mut self,
        running: Running<'_>,
        reached: &mut Reached,
    ) -> Result<Option<StepError>, StepError> {
        if reached.done > 0 && reached_by(running.statements, reached.done).hash != reached.hash {
            let message = "the statements that stand are not those of the script";
            let error = StepError::new(ErrorKind::Conflict, message);
            return Err(running.named(error).fact("stands", reached.describe(count(running))));
        }
        let Some(begun) = reached.begun.take() else { return Ok(None) };
        let number = reached.done + 1;
        let position = usize::try_from(reached.done).unwrap_or(usize::MAX);
        let statement = running.statements.get(position);
        let Some(statement) =
            statement.filter(|statement| Digest::of(statement.text.as_bytes()) == begun.statement)
        else {
            let message = "the statement that was under way is not the script's";
            return Err(running
                .named(StepError::new(ErrorKind::Conflict, message))
                .fact("statement", number));
        };
        self.await_end(&begun).await.map_err(|error| running.about(error, number, statement))?;
        self.engine.clear(self.work.as_mut(), &statement.text).await?;
        let now = self.engine.footprint(self.work.as_mut(), &statement.text).await?;
        match (now, begun.footprint) {
            (Some(now), Some(before)) if now.digest == before => Ok(None),
            (Some(now), Some(_)) if !now.drops_remain => {
                *reached = reached_by(running.statements, number);
                Ok(None)
            }
            _ => {
                let message = "the statement that was under way stands in part, or may stand";
                let error = running.about(StepError::new(ErrorKind::Conflict, message), number, statement);
                Ok(Some(error.fact("stands", reached.describe(count(running)))))
            }
        }
    }

    /// Waits until the session that began the statement is gone: the server may still be running it.
    pub(super) async fn await_end(&mut self, begun: &Begun) -> Result<(), StepError> {
        let mut wait = Wait::new(self.waits.migrators, self.permit.cancel());
        while self.engine.is_alive(self.lock.session(), &begun.by).await? {
            if !wait.again().await? {
                let message = "the session of an interrupted run is still there";
                return Err(StepError::new(ErrorKind::Unavailable, message).fact("holder", &begun.by));
            }
        }
        Ok(())
    }

    /// Repeats what the statements behind `reached` did to their session, and nothing else of them.
    pub(super) async fn prepare_session(
        &mut self,
        running: Running<'_>,
        reached: &Reached,
    ) -> Result<(), StepError> {
        let dialect = self.engine.dialect();
        let behind = running.statements.iter().take(usize::try_from(reached.done).unwrap_or(usize::MAX));
        for (number, statement) in (1..).zip(behind) {
            if sets(dialect, statement) {
                let ran = self.work.execute(&statement.text).await;
                ran.map_err(|error| running.about(error, number, statement))?;
            }
        }
        Ok(())
    }
}

fn count(running: Running<'_>) -> u32 {
    u32::try_from(running.statements.len()).unwrap_or(u32::MAX)
}
