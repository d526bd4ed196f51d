//! A store in memory whose calls a test makes fail, hang or answer late.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::journal::{
    AcquireError, AppendError, JournalStore, Lease, LoadError, MemoryJournal, RawRecord, RunSummary,
};
use flow_core::{Name, RunId};

/// What the store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Renew,
    Append,
    Posted,
    Close,
    Release,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Passes,
    Refuses,
    /// Nothing happens, and the call never returns.
    Hangs,
    /// It happens at once, and the answer comes this much later.
    AnswersLate(Duration),
}

type Script = Box<dyn Fn(Asked) -> Does + Send + Sync>;

pub(crate) struct Faulty {
    store: MemoryJournal,
    script: Script,
}

impl Faulty {
    pub(crate) fn over(
        store: &MemoryJournal,
        script: impl Fn(Asked) -> Does + Send + Sync + 'static,
    ) -> Self {
        Self { store: store.clone(), script: Box::new(script) }
    }

    /// Carries out `call` as the script has it; none where it is refused.
    async fn ask<T>(&self, asked: Asked, call: impl Future<Output = T>) -> Option<T> {
        match (self.script)(asked) {
            Does::Passes => Some(call.await),
            Does::Refuses => None,
            Does::Hangs => std::future::pending().await,
            Does::AnswersLate(late) => {
                let answer = call.await;
                tokio::time::sleep(late).await;
                Some(answer)
            }
        }
    }
}

const AWAY: &str = "the store is away";

#[async_trait]
impl JournalStore for Faulty {
    async fn acquire(
        &self,
        run: &RunId,
        on: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        self.store.acquire(run, on, owner, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        let renewed = self.ask(Asked::Renew, self.store.renew(lease)).await;
        renewed.unwrap_or_else(|| Err(AcquireError::Unavailable(AWAY.into())))
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        let released = self.ask(Asked::Release, self.store.release(lease)).await;
        released.unwrap_or_else(|| Err(AcquireError::Unavailable(AWAY.into())))
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        self.store.load(run).await
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let appended = self.ask(Asked::Append, self.store.append(lease, expected, batch)).await;
        appended.unwrap_or_else(|| Err(AppendError::Unavailable(AWAY.into())))
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        let closed = self.ask(Asked::Close, self.store.close(lease)).await;
        closed.unwrap_or_else(|| Err(AppendError::Unavailable(AWAY.into())))
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        self.store.post(run, topic, body).await
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        let posted = self.ask(Asked::Posted, self.store.posted(run, topic)).await;
        posted.unwrap_or_else(|| Err(LoadError::Unavailable(AWAY.into())))
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        self.store.incomplete(after, limit).await
    }
}
