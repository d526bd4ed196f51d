//! One script of one migration, in a transaction of its own.

use std::time::{Duration, Instant};

use flow_core::StepError;
use flow_sql::{Statement, Version};

use super::course::Direction;
use super::references::Watch;
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
    pub(crate) async fn run(
        &self,
        engine: &dyn Engine,
        session: &mut dyn Session,
        references: &mut Watch,
    ) -> Result<(), StepError> {
        references.look(engine, session, self.statements).await?;
        for (number, statement) in (1..).zip(self.statements) {
            self.step(session, number, statement).await?;
        }
        references.judge(session).await.map_err(|error| self.named(error))
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

    pub(crate) fn about(&self, error: StepError, number: u32, statement: &Statement) -> StepError {
        self.named(error).fact("statement", number).fact("line", statement.line)
    }

    pub(crate) fn named(&self, error: StepError) -> StepError {
        error.fact("version", self.version).fact("direction", self.direction.as_str())
    }
}
