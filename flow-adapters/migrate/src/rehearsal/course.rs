//! Leads each pending migration there, back and there again, on the restored copy of a server's database.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use flow_sql::{Body, Catalogue, Conduct, Dialect, Script, Statement};

use super::live;
use super::mysql::MysqlProbe;
use super::postgres::PostgresProbe;
use super::report::{Rehearsed, StatementPlan};
use super::sqlite::{describe, same, with_facts};
use crate::engine::{Access, Engine, Session};
use crate::run::{Control, Direction, Running, is_stepwise, unrolled};
use crate::schema::Schema;

/// Runs one statement and measures it.
#[async_trait]
pub(super) trait Probe: Send {
    /// Takes in what stands there before a script: what it makes itself is no impact.
    async fn begin(&mut self, session: &mut dyn Session) -> Result<(), StepError>;

    /// Runs a statement inside the session's transaction.
    async fn inside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError>;

    /// Runs a statement that commits by itself or stands outside transactions.
    async fn outside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError>;
}

/// Rehearses `pending` in order. What does not lead back is collected, so that all of it is named at once.
///
/// # Errors
/// [`Failed`](ErrorKind::Failed) where a migration fails, or a way back does not lead back.
pub(crate) async fn rehearse(
    engine: &dyn Engine,
    pending: &[&Script],
    mut catalogue: Catalogue,
    cancel: &CancelToken,
) -> Result<Vec<StatementPlan>, StepError> {
    let mut probe: Box<dyn Probe> = match engine.dialect() {
        Dialect::Postgres => Box::new(PostgresProbe::new(engine.open(Access::Write, cancel).await?)),
        Dialect::Mysql | Dialect::Sqlite => Box::new(MysqlProbe::default()),
    };
    let mut plans = Vec::new();
    let mut astray: Vec<(String, String)> = Vec::new();
    for script in pending {
        // A connection for each, as nothing of a session may reach the next migration.
        let mut session = engine.open(Access::Write, cancel).await?;
        let script =
            &*unrolled(engine, session.as_mut(), script).await.map_err(|error| with_facts(error, &astray))?;
        let mut course = Course { engine, session: session.as_mut(), probe: probe.as_mut(), script };
        let before = course.state().await?;
        let forth = course.forth(&mut catalogue).await;
        let mut found = forth.map_err(|error| with_facts(error, &astray))?;
        match course.back(&before).await {
            Ok(lost) => {
                if let Some(measured) = found.last_mut().and_then(|plan| plan.measured.as_mut()) {
                    measured.lost = lost;
                }
            }
            Err(error) if error.kind() == ErrorKind::Failed => {
                astray.push((format!("way back of {}", script.version), describe(&error)));
            }
            Err(error) => return Err(error),
        }
        plans.extend(found);
        session.close().await?;
    }
    if astray.is_empty() {
        return Ok(plans);
    }
    let failed = StepError::new(ErrorKind::Failed, "down scripts do not lead back on a copy of the database");
    Err(with_facts(failed, &astray))
}

/// One migration under way.
struct Course<'a> {
    engine: &'a dyn Engine,
    session: &'a mut dyn Session,
    probe: &'a mut dyn Probe,
    script: &'a Script,
}

/// The schema and the number of rows of each table.
struct State {
    schema: Schema,
    rows: BTreeMap<String, u64>,
}

impl Course<'_> {
    async fn state(&mut self) -> Result<State, StepError> {
        let schema = self.engine.schema(self.session).await?;
        Ok(State { schema, rows: live::rows(self.engine.dialect(), self.session).await? })
    }

    /// Applies the migration as it will be applied, measuring each statement.
    async fn forth(&mut self, catalogue: &mut Catalogue) -> Result<Vec<StatementPlan>, StepError> {
        let foretold = live::foretell(self.engine.dialect(), catalogue, self.script);
        let measured = self.run(Direction::Up, &self.script.up, true).await?;
        let plan = |(plan, measured): (StatementPlan, Rehearsed)| {
            let measured = Some(measured.with_foretold(&plan.foretold));
            StatementPlan { measured, ..plan }
        };
        Ok(foretold.into_iter().zip(measured).map(plan).collect())
    }

    /// Takes the migration back and applies it again, and leaves it applied. Gives the rows that the way back loses.
    async fn back(&mut self, before: &State) -> Result<Vec<(String, u64, u64)>, StepError> {
        let Some(down) = &self.script.down else { return Ok(Vec::new()) };
        let applied = self.engine.schema(self.session).await?;
        let dialect = self.engine.dialect();
        let stepwise = is_stepwise(dialect, self.script.up.mode, &self.script.up.statements)
            || is_stepwise(dialect, down.mode, &down.statements);
        if stepwise {
            return self.back_and_forth(down, before, &applied, true).await;
        }
        // Taken back at last, so that the rows are still there for the migrations that follow.
        self.session.begin().await?;
        let lost = self.back_and_forth(down, before, &applied, false).await;
        self.session.roll_back().await;
        lost
    }

    async fn back_and_forth(
        &mut self,
        down: &Body,
        before: &State,
        applied: &Schema,
        own_transactions: bool,
    ) -> Result<Vec<(String, u64, u64)>, StepError> {
        self.run(Direction::Down, down, own_transactions).await?;
        let reverted = self.state().await?;
        let message = if down.statements.is_empty() {
            "the down script is empty"
        } else {
            "the down script does not restore the schema"
        };
        same(message, &before.schema, &reverted.schema)?;
        self.run(Direction::Up, &self.script.up, own_transactions).await?;
        let again = self.engine.schema(self.session).await?;
        same("applied again after its down script it gives another schema", applied, &again)?;
        let fewer = before.rows.iter().filter_map(|(table, rows)| {
            let now = reverted.rows.get(table).copied().unwrap_or_default();
            (now < *rows).then(|| (table.clone(), *rows, now))
        });
        Ok(fewer.collect())
    }

    /// Runs one script, in a transaction of its own where it may, or in the one that is open.
    async fn run(
        &mut self,
        direction: Direction,
        body: &Body,
        own_transactions: bool,
    ) -> Result<Vec<Rehearsed>, StepError> {
        let running = Running { version: &self.script.version, direction, statements: &body.statements };
        self.probe.begin(self.session).await?;
        if is_stepwise(self.engine.dialect(), body.mode, &body.statements) {
            return self.step_through(running).await;
        }
        if own_transactions {
            self.session.begin().await?;
        }
        let mut measured = Vec::new();
        for (number, statement) in (1..).zip(running.statements) {
            let one = self.probe.inside(self.session, &statement.text).await;
            measured.push(one.map_err(|error| running.about(error, number, statement))?);
        }
        if own_transactions {
            self.session.commit(&[]).await.map_err(|error| running.named(error))?;
        } else if self.engine.dialect() == Dialect::Postgres {
            // What a commit would check.
            self.session
                .execute("SET CONSTRAINTS ALL IMMEDIATE")
                .await
                .map_err(|error| running.named(error))?;
        }
        Ok(measured)
    }

    /// Runs a script whose statements commit one by one, or which brings its own transactions.
    async fn step_through(&mut self, running: Running<'_>) -> Result<Vec<Rehearsed>, StepError> {
        let mut measured = Vec::new();
        let mut transaction = false;
        for (number, statement) in (1..).zip(running.statements) {
            let one = self.step(statement, &mut transaction).await;
            measured.push(one.map_err(|error| running.about(error, number, statement))?);
        }
        Ok(measured)
    }

    async fn step(&mut self, statement: &Statement, transaction: &mut bool) -> Result<Rehearsed, StepError> {
        let dialect = self.engine.dialect();
        match statement.conduct(dialect) {
            Conduct::Control => {
                self.session.execute(&statement.text).await?;
                match Control::of(dialect, statement) {
                    Control::Begins => *transaction = true,
                    Control::Commits | Control::TakesBack => *transaction = false,
                    Control::Stays => {}
                }
                Ok(Rehearsed::default())
            }
            Conduct::Within if *transaction => self.probe.inside(self.session, &statement.text).await,
            Conduct::Within => {
                self.session.begin().await?;
                match self.probe.inside(self.session, &statement.text).await {
                    Ok(measured) => self.session.commit(&[]).await.map(|()| measured),
                    Err(error) => {
                        self.session.roll_back().await;
                        Err(error)
                    }
                }
            }
            Conduct::Commits | Conduct::Outside => self.probe.outside(self.session, &statement.text).await,
        }
    }
}
