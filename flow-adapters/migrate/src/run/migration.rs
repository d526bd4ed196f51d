//! One script of one migration, in a transaction of its own.

use std::time::{Duration, Instant};

use flow_core::{ErrorKind, StepError};
use flow_sql::{Statement, Version};

use super::course::Direction;
use crate::engine::sqlite::References;
use crate::engine::{Engine, Session};

/// One script of one migration, under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) version: &'a Version,
    pub(crate) direction: Direction,
    pub(crate) statements: &'a [Statement],
}

impl Running<'_> {
    /// Runs every statement and checks that no reference between tables is worse than before.
    pub(crate) async fn run(&self, engine: &dyn Engine, session: &mut dyn Session) -> Result<(), StepError> {
        let before = engine.references(session, self.statements).await?;
        for (number, statement) in (1..).zip(self.statements) {
            self.step(session, number, statement).await?;
        }
        self.check_references(engine, session, before).await
    }

    /// Runs one statement and says how long it took.
    ///
    /// # Errors
    /// With the version, the direction, the statement's number and its line.
    pub(crate) async fn step(
        &self,
        session: &mut dyn Session,
        number: u32,
        statement: &Statement,
    ) -> Result<Duration, StepError> {
        let started = Instant::now();
        session.execute(&statement.text).await.map_err(|error| self.about(error, number, statement))?;
        Ok(started.elapsed())
    }

    pub(crate) async fn check_references(
        &self,
        engine: &dyn Engine,
        session: &mut dyn Session,
        before: Option<References>,
    ) -> Result<(), StepError> {
        let Some(before) = before else { return Ok(()) };
        let Some(after) = engine.references(session, self.statements).await? else { return Ok(()) };
        let worse = after.worse_than(&before);
        if worse.is_empty() {
            return Ok(());
        }
        let broken = StepError::new(ErrorKind::Failed, "the migration breaks references between tables");
        Err(self.named(broken).fact("references", worse.join("; ")))
    }

    pub(crate) fn about(&self, error: StepError, number: u32, statement: &Statement) -> StepError {
        self.named(error).fact("statement", number).fact("line", statement.line)
    }

    pub(crate) fn named(&self, error: StepError) -> StepError {
        error.fact("version", self.version).fact("direction", self.direction.as_str())
    }
}
