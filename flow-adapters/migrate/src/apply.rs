//! Applies the pending migrations, each in a transaction of its own that holds its row.

use std::time::Instant;

use flow_core::port::AppliedMigration;
use flow_core::{ErrorKind, Permit, StepError};

use crate::client::{Database, Durability, Session, history};
use crate::ledger::{self, Applied};
use crate::rules;
use crate::scripts::Script;
use crate::transaction::{Direction, Running};
use crate::version::Version;

/// Applies what is pending, and gives everything that was applied under the permit's key, by earlier attempts too.
pub(crate) async fn apply(
    database: &Database,
    scripts: &[Script],
    permit: &Permit,
) -> Result<Vec<AppliedMigration>, StepError> {
    let mut session = database.write(Durability::Durable, permit.cancel()).await?;
    let mut applier = Applier { scripts, permit, seen: Vec::new() };
    loop {
        let applied = match applier.next(&mut session).await {
            Ok(applied) => applied,
            Err(error) if applier.seen.is_empty() => return Err(error),
            Err(error) => {
                let seen: Vec<_> = applier.seen.iter().map(Version::as_str).collect();
                return Err(error.after_effect().fact("applied", seen.join(", ")));
            }
        };
        let Some(script) = applied else { break };
        if script.up.statements.iter().any(|statement| rules::changes_session(&statement.text)) {
            session.close().await.map_err(StepError::after_effect)?;
            session = database
                .write(Durability::Durable, permit.cancel())
                .await
                .map_err(StepError::after_effect)?;
        }
    }
    let applied = history::read(&mut session).await.map_err(StepError::after_effect)?;
    session.close().await.map_err(StepError::after_effect)?;
    Ok(applied.iter().filter(|row| row.under == permit.idempotency_key()).map(port_applied).collect())
}

struct Applier<'a> {
    scripts: &'a [Script],
    permit: &'a Permit,
    /// What stands in the database under the permit's key.
    seen: Vec<Version>,
}

impl<'a> Applier<'a> {
    /// Applies the first pending migration, or gives none where none is left.
    async fn next(&mut self, session: &mut Session) -> Result<Option<&'a Script>, StepError> {
        if self.permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled between two migrations"));
        }
        session.begin().await?;
        match self.within(session).await {
            Ok(Some(script)) => {
                session.commit().await.map_err(|error| error.fact("version", &script.version))?;
                self.seen.push(script.version.clone());
                Ok(Some(script))
            }
            Ok(None) => {
                session.roll_back().await;
                Ok(None)
            }
            Err(error) => {
                session.roll_back().await;
                Err(error)
            }
        }
    }

    /// Everything is read again under the lock: another migrator may have been faster.
    async fn within(&mut self, session: &mut Session) -> Result<Option<&'a Script>, StepError> {
        let applied = history::read(session).await?;
        self.look(&applied)?;
        let Some(script) = ledger::pending(self.scripts, &applied)?.into_iter().next() else {
            return Ok(None);
        };
        let running =
            Running { version: &script.version, direction: Direction::Up, statements: &script.up.statements };
        let started = Instant::now();
        running.run(session).await?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        history::insert(session, script, self.permit, ms).await?;
        Ok(Some(script))
    }

    /// Refuses to go on where this attempt is not the last word any more.
    fn look(&mut self, applied: &[Applied]) -> Result<(), StepError> {
        let mine: Vec<_> = applied.iter().filter(|row| row.under == self.permit.idempotency_key()).collect();
        if let Some(later) = mine.iter().find(|row| row.fence > self.permit.fence().0) {
            return Err(StepError::new(ErrorKind::Conflict, "a later attempt has taken over")
                .fact("fence", later.fence));
        }
        if let Some(gone) = self.seen.iter().find(|seen| !mine.iter().any(|row| row.version == **seen)) {
            return Err(StepError::new(ErrorKind::Conflict, "a migration was reverted meanwhile")
                .fact("version", gone));
        }
        self.seen = mine.into_iter().map(|row| row.version.clone()).collect();
        Ok(())
    }
}

fn port_applied(row: &Applied) -> AppliedMigration {
    AppliedMigration { version: row.version.to_string(), statements: row.statements, ms: row.ms }
}
