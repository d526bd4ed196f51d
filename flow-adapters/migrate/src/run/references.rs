//! The references between tables over the migrations of a run, where the server does not guard them.

use flow_core::{ErrorKind, StepError};
use flow_sql::Statement;

use crate::engine::sqlite::References;
use crate::engine::{Engine, Session};

/// Looks before and after each migration.
///
/// Rows are judged before each commit. A table that is not there is judged before the last commit of the run alone: one migration may
/// drop it and the next one rename a copy into its place.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    start: Option<References>,
    before: Option<References>,
    last: bool,
}

impl Watch {
    /// The migration that comes next, and whether it is the run's last one.
    pub(crate) const fn next(&mut self, last: bool) {
        self.last = last;
    }

    /// Looks at what stands before `statements`.
    pub(crate) async fn look(
        &mut self,
        engine: &dyn Engine,
        session: &mut dyn Session,
        statements: &[Statement],
    ) -> Result<(), StepError> {
        self.before = None;
        if engine.can_break_references(statements) {
            let now = References::read(session).await?;
            self.start.get_or_insert_with(|| now.clone());
            self.before = Some(now);
        }
        Ok(())
    }

    /// Looks at what stands after them, before it is committed.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] with what is worse in `references`.
    pub(crate) async fn judge(&self, session: &mut dyn Session) -> Result<(), StepError> {
        let Some(start) = &self.start else { return Ok(()) };
        if self.before.is_none() && !self.last {
            return Ok(());
        }
        let now = References::read(session).await?;
        let mut worse =
            self.before.as_ref().map_or_else(Vec::new, |before| now.rows_worse_than(before, start));
        if self.last {
            worse.extend(now.dangling_beyond(start));
        }
        if worse.is_empty() {
            return Ok(());
        }
        let broken = StepError::new(ErrorKind::Failed, "the migrations break references between tables");
        Err(broken.fact("references", worse.join("; ")))
    }
}
