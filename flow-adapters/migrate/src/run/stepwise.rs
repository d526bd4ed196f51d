//! Runs a script whose statements commit one by one.

use flow_core::{Digest, ErrorKind, StepError};
use flow_sql::{Conduct, Dialect, Statement};

use super::conduct::Control;
use super::migration::Running;
use super::site::Site;
use crate::ledger::{Begun, Reached};

impl Site<'_> {
    /// Runs the statements behind `reached` and moves it on. `tolerated` errors of a statement count as its end.
    ///
    /// What may stand in a transaction gets one of its own with the record of it. What commits by itself has a durable record
    /// before, by the session that holds the lock; the record of its end comes with that of the next one's beginning.
    ///
    /// # Errors
    /// With the version, the direction, the statement's number and its line; `reached` says what stands.
    pub(super) async fn step_through(
        &mut self,
        running: Running<'_>,
        reached: &mut Reached,
        tolerated: &mut (dyn FnMut(&StepError) -> bool + Send),
    ) -> Result<(), StepError> {
        let mut transaction = false;
        self.references.look(self.engine, self.work.as_mut(), running.statements).await?;
        for (number, statement) in (1..).zip(running.statements).skip(skipped(reached)) {
            let conduct = statement.conduct(self.engine.dialect());
            let ended = match conduct {
                Conduct::Control => {
                    let control = Control::of(self.engine.dialect(), statement);
                    let ended = self.control(running, number, statement, control, reached).await;
                    match control {
                        Control::Begins => transaction = true,
                        Control::Commits | Control::TakesBack => transaction &= ended.is_err(),
                        Control::Stays => {}
                    }
                    ended
                }
                _ if transaction => self.work.execute(&statement.text).await,
                Conduct::Within => self.within_own(running, number, statement, reached).await,
                Conduct::Commits | Conduct::Outside => {
                    self.journaled(running, number, statement, reached).await
                }
            };
            match ended {
                Ok(()) => {}
                Err(error) if !transaction && tolerated(&error) => {
                    *reached = reached_by(running.statements, number);
                }
                Err(error) => {
                    if transaction {
                        self.work.roll_back().await;
                    }
                    return Err(running.about(error, number, statement));
                }
            }
        }
        if transaction {
            self.work.roll_back().await;
            let open = StepError::new(
                ErrorKind::Failed,
                "the script does not commit the transaction that it begins",
            );
            return Err(running.named(open));
        }
        self.references.judge(self.work.as_mut()).await.map_err(|error| running.named(error))
    }

    /// Runs a statement that begins or ends the script's own transaction; the record of it commits inside.
    async fn control(
        &mut self,
        running: Running<'_>,
        number: u32,
        statement: &Statement,
        control: Control,
        reached: &mut Reached,
    ) -> Result<(), StepError> {
        if control != Control::Commits {
            return self.work.execute(&statement.text).await;
        }
        let after = reached_by(running.statements, number);
        self.work.regain().await?;
        self.work.write(&[self.history.reach(running.version, &after)]).await?;
        self.work.execute(&statement.text).await?;
        *reached = after;
        Ok(())
    }

    /// Runs one statement in a transaction of its own that holds its record.
    async fn within_own(
        &mut self,
        running: Running<'_>,
        number: u32,
        statement: &Statement,
        reached: &mut Reached,
    ) -> Result<(), StepError> {
        let after = reached_by(running.statements, number);
        let mut patience = self.patience();
        loop {
            self.work.begin().await?;
            let ran = async {
                self.work.execute(&statement.text).await?;
                self.work.regain().await
            };
            match ran.await {
                Ok(()) => break,
                Err(error) => {
                    self.work.roll_back().await;
                    if !patience.again(&error).await? {
                        return Err(error);
                    }
                }
            }
        }
        self.work.commit(&[self.history.reach(running.version, &after)]).await?;
        *reached = after;
        Ok(())
    }

    /// What is to be recorded before a statement that commits by itself is run.
    pub(super) async fn announce(&mut self, text: &str) -> Result<Begun, StepError> {
        self.engine.clear(self.work.as_mut(), text).await?;
        let before = self.engine.footprint(self.work.as_mut(), text).await?;
        let (statement, by) = (Digest::of(text.as_bytes()), self.work.id().to_owned());
        Ok(Begun { statement, by, footprint: before.map(|footprint| footprint.digest) })
    }

    /// Runs one statement that commits by itself, with a durable record before it, unless that stands already.
    async fn journaled(
        &mut self,
        running: Running<'_>,
        number: u32,
        statement: &Statement,
        reached: &mut Reached,
    ) -> Result<(), StepError> {
        let text = &statement.text;
        if reached.begun.is_none() {
            reached.begun = Some(self.announce(text).await?);
            self.record(vec![self.history.reach(running.version, reached)]).await?;
        }
        let stood = reached.begun.as_ref().and_then(|begun| begun.footprint);
        let mut patience = self.patience();
        loop {
            let Err(error) = self.patiently(text).await else {
                *reached = reached_by(running.statements, number);
                return Ok(());
            };
            if error.kind() == ErrorKind::Unknown {
                return Err(error);
            }
            // Refused or interrupted: what it left is looked up, never assumed.
            self.engine.clear(self.work.as_mut(), text).await.map_err(StepError::after_effect)?;
            let now =
                self.engine.footprint(self.work.as_mut(), text).await.map_err(StepError::after_effect)?;
            if now.is_none() || now.map(|footprint| footprint.digest) != stood {
                return Err(error.fact("in part", number));
            }
            if !patience.again(&error).await? {
                reached.begun = None;
                let row = self.history.reach(running.version, reached);
                self.record(vec![row]).await.map_err(StepError::after_effect)?;
                return Err(error);
            }
        }
    }

    /// Runs a statement that waits for every transaction of the database, without a limit on that: it blocks nobody meanwhile.
    async fn patiently(&mut self, text: &str) -> Result<(), StepError> {
        if self.engine.dialect() != Dialect::Postgres {
            return self.work.execute(text).await;
        }
        self.work.wait_for_locks(None).await?;
        let ended = self.work.execute(text).await;
        // Where the connection broke, the statement's own end is the better answer.
        let limited = self.work.wait_for_locks(Some(self.waits.tables)).await;
        ended.and(limited)
    }
}

/// How many statements are behind.
fn skipped(reached: &Reached) -> usize {
    usize::try_from(reached.done).unwrap_or(usize::MAX)
}

/// As far as statement `number`, whole.
pub(super) fn reached_by(statements: &[Statement], number: u32) -> Reached {
    let done = statements.iter().take(usize::try_from(number).unwrap_or(usize::MAX));
    let texts = done.fold(String::new(), |texts, statement| texts + &statement.text + "\0");
    Reached { done: number, hash: Some(Digest::of(texts.as_bytes())), begun: None }
}
