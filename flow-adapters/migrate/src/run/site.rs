//! Where a run works: the lock, a working session, and the history.

use std::time::Duration;

use flow_core::{CancelToken, ErrorKind, Permit, StepError};
use flow_sql::Dialect;
use futures::future::join;

use super::references::Watch;
use crate::config::Waits;
use crate::engine::wait::Wait;
use crate::engine::{Access, Engine, Lock, Owner, Session, Write};
use crate::ledger::{Applied, History};

/// Held from before anything is read until the last change is recorded.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) waits: &'a Waits,
    pub(super) permit: &'a Permit,
    pub(super) lock: Box<dyn Lock>,
    pub(super) work: Box<dyn Session>,
    pub(super) history: History,
    /// What stood when the lock was taken.
    pub(super) applied: Vec<Applied>,
    /// Whether the last script may have left something behind in the working session.
    pub(super) worn: bool,
    pub(super) references: Watch,
    /// What was seen of the lock since the last migration was recorded.
    held: Option<Result<(), StepError>>,
    /// What ended and goes to the ledger with the next record: until then the catalogue shows it.
    ended: Vec<Write>,
}

impl<'a> Site<'a> {
    /// Takes the lock, and reads what stands only then.
    pub(super) async fn enter(
        engine: &'a dyn Engine,
        waits: &'a Waits,
        permit: &'a Permit,
    ) -> Result<Self, StepError> {
        if permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before the lock was taken"));
        }
        let mut lock = engine.lock(&Owner::of(permit), permit.cancel()).await?;
        let mut work = engine.open(Access::Write, permit.cancel()).await?;
        engine.preflight(work.as_mut(), lock.session()).await?;
        let history = History::find(engine, work.as_mut()).await?;
        let applied = history.read(work.as_mut()).await?;
        Ok(Self {
            engine,
            waits,
            permit,
            lock,
            work,
            history,
            applied,
            worn: false,
            references: Watch::default(),
            held: None,
            ended: Vec::new(),
        })
    }

    /// Makes ready for the next migration: not cancelled, the lock still ours, nothing left of the session of the last one. Where it
    /// `records` first, by the session that holds the lock, that is when the lock is looked at.
    pub(super) async fn next(&mut self, last: bool, records: bool) -> Result<(), StepError> {
        if self.permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled between two migrations"));
        }
        self.references.next(last);
        if !records {
            self.record_ended().await?;
            match self.held.take() {
                Some(held) => held?,
                None => self.lock.verify().await?,
            }
        }
        if std::mem::take(&mut self.worn) {
            self.work.renew().await?;
        }
        Ok(())
    }

    /// Closes the session and gives the lock back.
    pub(super) async fn leave(mut self) -> Result<(), StepError> {
        let recorded = self.record_ended().await;
        let closed = self.work.close().await;
        self.lock.release().await?;
        recorded.and(closed)
    }
}

impl Site<'_> {
    /// Makes the tables of the history, in a transaction of their own.
    pub(super) async fn make_tables(&mut self) -> Result<(), StepError> {
        let session = self.lock.session();
        self.history.create(self.engine, session).await?;
        self.history.created();
        Ok(())
    }

    /// Commits the work with what is recorded of it, and looks at the lock meanwhile.
    pub(super) async fn commit(&mut self, writes: &[Write]) -> Result<(), StepError> {
        let (committed, held) = join(self.work.commit(writes), self.lock.verify()).await;
        self.held = Some(held);
        committed
    }

    /// Has the end of a migration recorded with what is recorded next, at the latest before the next one that has no record first.
    pub(super) fn end(&mut self, writes: Vec<Write>) {
        self.ended.extend(writes);
    }

    /// Records `writes`, and what ended before, in the session that holds the lock: done, the session is there, and the lock with it.
    pub(super) async fn record(&mut self, writes: Vec<Write>) -> Result<(), StepError> {
        let all = [self.ended.clone(), writes].concat();
        self.lock.session().record(&all).await?;
        self.ended.clear();
        self.held = Some(Ok(()));
        Ok(())
    }

    async fn record_ended(&mut self) -> Result<(), StepError> {
        if self.ended.is_empty() {
            return Ok(());
        }
        self.record(Vec::new()).await.map_err(StepError::after_effect)
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { left: self.waits.attempts.saturating_sub(1), cancel: self.permit.cancel().clone() }
    }

    /// What the failure of a transaction means that was not committed: PostgreSQL takes it back, whatever became of the connection.
    pub(super) fn taken_back(&self, error: StepError) -> StepError {
        if self.engine.dialect() != Dialect::Postgres || error.kind() != ErrorKind::Unknown {
            return error;
        }
        let message = "the session ended, and the server took the transaction back";
        let facts: Vec<_> = error.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let taken_back = StepError::new(ErrorKind::Unavailable, message).because(error);
        facts.into_iter().fold(taken_back, |error, (name, value)| error.fact(name, value))
    }
}

/// How often a migration is still attempted that meets locks.
#[derive(Debug)]
pub(super) struct Patience {
    left: u32,
    cancel: CancelToken,
}

impl Patience {
    /// Whether to attempt once more after `error`, with a pause in which others get on.
    pub(super) async fn again(&mut self, error: &StepError) -> Result<bool, StepError> {
        if error.kind() != ErrorKind::Unavailable || self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        Wait::new(Duration::MAX, &self.cancel).again().await
    }
}
