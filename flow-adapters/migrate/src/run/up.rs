//! Applies what is pending.

use std::time::Instant;

use flow_core::port::AppliedMigration;
use flow_core::{ErrorKind, Permit, StepError};
use flow_sql::{Conduct, Dialect, Script, Version};

use super::backfill;
use super::conduct::is_stepwise;
use super::course::{Course, Direction, Finished, Goal};
use super::migration::Running;
use super::site::Site;
use crate::config::Waits;
use crate::engine::Engine;
use crate::ledger::{Applied, Progress, Reached, View};

/// Applies what is pending up to `goal`.
pub(crate) async fn up(
    engine: &dyn Engine,
    waits: &Waits,
    view: View<'_>,
    permit: &Permit,
    goal: &Goal,
) -> Course {
    let site = match Site::enter(engine, waits, permit).await {
        Ok(site) => site,
        Err(error) => return Course::stopped(error),
    };
    let mine = site.applied.iter().filter(|row| row.under == permit.idempotency_key());
    let whole = mine.filter(|row| row.progress == Progress::Whole);
    let mut under_key: Vec<_> = whole.map(port_applied).collect();
    let mut up = Up { site, view, finished: Vec::new() };
    let ended = up.run(goal).await;
    let left = up.site.leave().await;
    under_key.extend(up.finished.iter().map(|done| AppliedMigration {
        version: done.version.clone(),
        statements: done.statements,
        ms: done.ms,
    }));
    Course { finished: up.finished, under_key, stopped: ended.err().or(left.err()) }
}

fn port_applied(row: &Applied) -> AppliedMigration {
    AppliedMigration { version: row.version.to_string(), statements: row.statements, ms: row.ms }
}

struct Up<'a> {
    site: Site<'a>,
    view: View<'a>,
    finished: Vec<Finished>,
}

impl<'a> Up<'a> {
    async fn run(&mut self, goal: &Goal) -> Result<(), StepError> {
        self.check_attempt()?;
        let last = self.last(goal)?;
        let mut pending = self.view.pending(&self.site.applied)?;
        pending.retain(|script| last.as_ref().is_none_or(|last| script.version <= *last));
        self.check_whole()?;
        self.view.check_expanded(&self.site.applied, &pending)?;
        self.adopt().await?;
        let many = pending.len();
        for (number, script) in (1..).zip(pending) {
            let transactional = script.backfill.is_none()
                && !is_stepwise(self.site.engine.dialect(), script.up.mode, &script.up.statements);
            let reached = self.row(script).map(|row| row.progress.clone());
            let records = reached.is_none() && script.backfill.is_none() && !transactional;
            self.site.next(number == many, records).await?;
            let ms = match reached {
                _ if script.backfill.is_some() => self.backfill(script).await?,
                Some(Progress::Applying(reached)) => self.resume(script, reached).await?,
                _ if transactional => self.whole(script).await?,
                _ => self.stepwise(script).await?,
            };
            self.finished.push(Finished {
                version: script.version.to_string(),
                name: script.name.clone(),
                direction: Direction::Up,
                statements: count(script),
                transactional,
                ms,
            });
        }
        Ok(())
    }

    fn row(&self, script: &Script) -> Option<&Applied> {
        self.site.applied.iter().find(|row| row.version == script.version)
    }

    /// Refuses to go on where this attempt is not the last word any more.
    fn check_attempt(&self) -> Result<(), StepError> {
        let permit = self.site.permit;
        let mine = |row: &&Applied| row.under == permit.idempotency_key() && row.fence > permit.fence().0;
        match self.site.applied.iter().find(mine) {
            None => Ok(()),
            Some(later) => Err(StepError::new(ErrorKind::Conflict, "a later attempt has taken over")
                .fact("fence", later.fence)),
        }
    }

    fn last(&self, goal: &Goal) -> Result<Option<Version>, StepError> {
        let Goal::To(text) = goal else { return Ok(None) };
        let version = Version::new(text);
        let found = self.view.scripts.iter().find(|script| Some(&script.version) == version.as_ref());
        found.map(|script| Some(script.version.clone())).ok_or_else(|| {
            StepError::new(ErrorKind::Invalid, "there is no script of the version to stop at")
                .fact("version", text)
        })
    }

    fn check_whole(&self) -> Result<(), StepError> {
        let torn = self.site.applied.iter().find(|row| match &row.progress {
            Progress::Reverting(_) | Progress::Unwinding(_) => true,
            Progress::Applying(_) => row.is_foreign(),
            Progress::Whole | Progress::Foreign => false,
        });
        let Some(torn) = torn else { return Ok(()) };
        let message = if torn.is_foreign() {
            "an application left the migration half-way, and it is not known where"
        } else {
            "the migration is taken back in part; its way back has to be finished first"
        };
        Err(StepError::new(ErrorKind::Conflict, message).fact("version", &torn.version))
    }

    /// Takes over what an application applied by itself, with the way back that the scripts have.
    async fn adopt(&mut self) -> Result<(), StepError> {
        let foreign =
            |script: &&Script| self.row(script).is_some_and(|row| row.progress == Progress::Foreign);
        let scripts: Vec<_> = self.view.scripts.iter().filter(foreign).collect();
        if scripts.is_empty() {
            return Ok(());
        }
        self.site.make_tables().await?;
        let Site { work, history, permit, .. } = &mut self.site;
        let rows: Vec<_> = scripts.into_iter().map(|script| history.adopt(script, permit)).collect();
        work.record(&rows).await
    }

    /// Applies in one transaction with the migration's row, again where the application's locks were in the way.
    async fn whole(&mut self, script: &Script) -> Result<u64, StepError> {
        let dialect = self.site.engine.dialect();
        self.site.worn = script.up.statements.iter().any(|statement| statement.changes_session(dialect));
        if self.site.engine.dialect() == Dialect::Mysql {
            // Making a table would commit.
            self.site.make_tables().await?;
        }
        let mut patience = self.site.patience();
        let ms = loop {
            self.site.work.begin().await?;
            let error = match self.within(script).await {
                Ok(ms) => break ms,
                Err(error) => error,
            };
            self.site.work.roll_back().await;
            if !patience.again(&error).await? {
                return Err(self.site.taken_back(error));
            }
        };
        let row = self.site.history.insert(script, self.site.permit, ms);
        self.site.commit(&row).await.map_err(|error| running(script).named(error))?;
        self.site.history.created();
        Ok(ms)
    }

    async fn within(&mut self, script: &Script) -> Result<u64, StepError> {
        let started = Instant::now();
        let Site { engine, work, history, worn, references, .. } = &mut self.site;
        history.create(*engine, work.as_mut()).await?;
        running(script).run(*engine, work.as_mut(), references).await?;
        if *worn {
            work.regain().await.map_err(|error| running(script).named(error))?;
        }
        Ok(ms(started))
    }

    /// Applies statement by statement.
    async fn stepwise(&mut self, script: &Script) -> Result<u64, StepError> {
        self.site.make_tables().await?;
        let mut reached = Reached::default();
        if let Some(first) = script.up.statements.first()
            && matches!(first.conduct(self.site.engine.dialect()), Conduct::Commits | Conduct::Outside)
        {
            let begun = self.site.announce(&first.text).await;
            reached.begun = Some(begun.map_err(|error| running(script).about(error, 1, first))?);
        }
        let begin = self.site.history.begin(script, self.site.permit, reached.begun.as_ref());
        self.site.record(begin).await?;
        self.go_on(script, reached).await
    }

    /// Fills rows in, from where an earlier run came to.
    async fn backfill(&mut self, script: &Script) -> Result<u64, StepError> {
        let Some(backfill) = &script.backfill else { return Ok(0) };
        let started = Instant::now();
        let named = |error| running(script).named(error);
        match self.row(script).map(|row| row.filled.is_some()) {
            Some(true) => {}
            Some(false) => {
                let message = "a part of the migration stands from when it was no backfill";
                return Err(named(StepError::new(ErrorKind::Conflict, message)));
            }
            None => self.begin_backfill(script, &backfill.table).await.map_err(named)?,
        }
        let ended = self.site.fill(script, backfill).await.map_err(named);
        let Site { lock, history, .. } = &mut self.site;
        let session = lock.session();
        session.begin().await.map_err(StepError::after_effect)?;
        let filled = history.hold_filled(session, &script.version).await.map_err(StepError::after_effect)?;
        let writes = match &ended {
            Ok(()) => history.finish(script, ms(started)),
            // Nothing of it stands, so nothing is recorded of it.
            Err(_) if filled.rows == 0 => history.delete(&script.version),
            Err(_) => Vec::new(),
        };
        session.commit(&writes).await.map_err(StepError::after_effect)?;
        match ended {
            Err(error) if filled.rows > 0 => Err(error.after_effect().fact("stands", filled)),
            ended => ended.map(|()| ms(started)),
        }
    }

    async fn begin_backfill(&mut self, script: &Script, table: &str) -> Result<(), StepError> {
        self.site.make_tables().await?;
        let Site { lock, work, history, permit, .. } = &mut self.site;
        history.create_backfills(lock.session()).await?;
        let total = backfill::number(work.as_mut(), &format!("SELECT count(*) FROM {table}")).await?;
        let mut writes = history.begin(script, permit, None);
        writes.push(history.begin_filling(&script.version, total));
        self.site.record(writes).await
    }

    /// Goes on where an interrupted run stands.
    async fn resume(&mut self, script: &Script, mut reached: Reached) -> Result<u64, StepError> {
        self.site.settle(running(script), &mut reached).await?;
        self.site.prepare_session(running(script), &reached).await?;
        self.go_on(script, reached).await
    }

    async fn go_on(&mut self, script: &Script, mut reached: Reached) -> Result<u64, StepError> {
        let started = Instant::now();
        let dialect = self.site.engine.dialect();
        self.site.worn = script.up.statements.iter().any(|statement| statement.changes_session(dialect));
        let ended = self.site.step_through(running(script), &mut reached, &mut |_| false).await;
        match ended {
            Ok(()) => {
                let ms = ms(started);
                self.site.end(self.site.history.finish(script, ms));
                Ok(ms)
            }
            // Nothing of it stands, so nothing is recorded of it.
            Err(error) if reached == Reached::default() => {
                let nothing = self.site.history.delete(&script.version);
                let recorded = self.site.record(nothing).await;
                Err(recorded.err().map_or(error, StepError::after_effect))
            }
            Err(error) => Err(error.after_effect().fact("stands", reached.describe(count(script)))),
        }
    }
}

fn running(script: &Script) -> Running<'_> {
    Running { version: &script.version, direction: Direction::Up, statements: &script.up.statements }
}

fn count(script: &Script) -> u32 {
    u32::try_from(script.up.statements.len()).unwrap_or(u32::MAX)
}

fn ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
