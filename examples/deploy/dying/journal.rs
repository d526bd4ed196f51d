use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::journal::{
    AcquireError, AppendError, Entry, JournalStore, Lease, LoadError, RawRecord, RunSummary,
};
use flow_core::{Name, RunId};
use flow_journal::SqliteJournal;
use serde::Deserialize;

use super::{Death, Trail};

/// `store`, whose process may die at an append: before it, or when it is durable.
#[derive(Debug)]
pub(crate) struct DyingJournal {
    store: SqliteJournal,
    trail: Arc<Trail>,
}

impl DyingJournal {
    pub(crate) const fn new(store: SqliteJournal, trail: Arc<Trail>) -> Self {
        Self { store, trail }
    }
}

#[derive(Deserialize)]
struct Body {
    fact: Entry,
}

/// What a record is called, as its entry shows itself.
fn named(record: &RawRecord) -> String {
    match serde_json::from_str::<Body>(&record.body) {
        Ok(body) => body.fact.to_string(),
        Err(_) => "unreadable".to_owned(),
    }
}

#[async_trait]
impl JournalStore for DyingJournal {
    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let records: Vec<String> = batch.iter().map(named).collect();
        self.trail.note(format_args!("appending {}", records.join(" ")));
        self.trail.die_if(|death| matches!(death, Death::Before(record) if records.contains(record)));
        self.store.append(lease, expected, batch).await?;
        self.trail.note(format_args!("appended {}", records.join(" ")));
        self.trail.die_if(|death| matches!(death, Death::After(record) if records.contains(record)));
        Ok(())
    }

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
        self.store.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        self.store.release(lease).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        self.store.load(run).await
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        self.store.close(lease).await
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        self.store.post(run, topic, body).await
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        self.store.posted(run, topic).await
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        self.store.incomplete(after, limit).await
    }
}
