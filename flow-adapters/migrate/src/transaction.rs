//! Runs a script's statements inside an open transaction.

use std::time::{Duration, Instant};

use flow_core::{ErrorKind, StepError};

use crate::client::Session;
use crate::client::catalogue::References;
use crate::effect::Effect;
use crate::split::Statement;
use crate::version::Version;

/// Which script of a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One script of one migration, under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) version: &'a Version,
    pub(crate) direction: Direction,
    pub(crate) statements: &'a [Statement],
}

impl Running<'_> {
    /// Runs every statement and checks that no reference between tables is worse than before.
    pub(crate) async fn run(&self, session: &mut Session) -> Result<(), StepError> {
        let before = self.references(session).await?;
        for (number, statement) in (1..).zip(self.statements) {
            self.step(session, number, statement).await?;
        }
        self.check_references(session, before).await
    }

    /// Runs one statement and says how long it took.
    ///
    /// # Errors
    /// With the version, the direction, the statement's number and its line.
    pub(crate) async fn step(
        &self,
        session: &mut Session,
        number: u32,
        statement: &Statement,
    ) -> Result<Duration, StepError> {
        let started = Instant::now();
        session
            .execute(&statement.text)
            .await
            .map_err(|error| self.about(error).fact("statement", number).fact("line", statement.line))?;
        Ok(started.elapsed())
    }

    /// The references now, where a statement can break one. Costs a look at every row that refers to another.
    pub(crate) async fn references(&self, session: &mut Session) -> Result<Option<References>, StepError> {
        if !self.statements.iter().any(|statement| can_break_references(&statement.text)) {
            return Ok(None);
        }
        References::read(session).await.map(Some)
    }

    pub(crate) async fn check_references(
        &self,
        session: &mut Session,
        before: Option<References>,
    ) -> Result<(), StepError> {
        let Some(before) = before else { return Ok(()) };
        let worse = References::read(session).await?.worse_than(&before);
        if worse.is_empty() {
            return Ok(());
        }
        let broken = StepError::new(ErrorKind::Failed, "the migration breaks references between tables");
        Err(self.about(broken).fact("references", worse.join("; ")))
    }

    fn about(&self, error: StepError) -> StepError {
        error.fact("version", self.version).fact("direction", self.direction.as_str())
    }
}

fn can_break_references(statement: &str) -> bool {
    match Effect::of(statement) {
        Effect::Read | Effect::Index(_) => false,
        // What is created refers to others, and nothing refers to it yet.
        Effect::Catalogue => !statement.get(..6).is_some_and(|first| first.eq_ignore_ascii_case("create")),
        Effect::Scan(_) | Effect::Rewrite(_) | Effect::Drop(_) | Effect::Write => true,
    }
}
