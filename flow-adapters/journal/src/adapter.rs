use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::journal::{AcquireError, AppendError, JournalStore, Lease, LoadError, RawRecord, RunSummary};
use flow_core::{Digest, Fence, Name, RunId};
use futures::TryStreamExt as _;
use jiff::Timestamp;

use crate::client::{Client, Holder, Row, Session, Standing, Tail, signed};
use crate::config::SqliteConfig;
use crate::error::{Failure, Kind, OpenError, kind};

/// The journals of all runs, in one SQLite file.
///
/// Clones share its two connections. Several processes on one machine may open the same file; over a network file system it
/// is not safe.
///
/// A lease that was released is gone: it can be neither renewed nor appended under, even while nobody else has taken it.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    client: Arc<Client>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, and makes it where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        Self::with(SqliteConfig::at(path)).await
    }

    /// Opens the journal that `config` describes, and makes it where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn with(config: SqliteConfig) -> Result<Self, OpenError> {
        Ok(Self { client: Arc::new(Client::open(&config).await?) })
    }
}

#[async_trait]
impl JournalStore for SqliteJournal {
    async fn acquire(
        &self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let mut resources = resources.to_vec();
        resources.sort();
        resources.dedup();
        let mut session = self.client.write().await?;
        let taken = session.take(run, &resources, owner, ttl).await;
        let fence = session.end(taken).await?;
        Ok(Lease { run: run.clone(), resources, owner: owner.to_owned(), fence, ttl })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        let mut session = self.client.write().await?;
        let renewed = session.renew(lease).await;
        session.end(renewed).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        let mut session = self.client.write().await?;
        let released = session.release(lease).await;
        Ok(session.end(released).await?)
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        let mut session = self.client.read().await.map_err(|failure| unreadable(run, 0, failure))?;
        let loaded = session.load(run).await;
        session.end(loaded).await
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let tail =
            Tail { run: lease.run.name().as_str(), fence: stored(lease.fence), expected: signed(expected) };
        let follows =
            batch.iter().zip(1..).all(|(record, ahead)| expected.checked_add(ahead) == Some(record.seq));
        loop {
            if follows && self.client.append(&tail, batch).await? {
                return Ok(());
            }
            // Why not takes another look. Where nothing is in the way any more, an append under the same lease was.
            let (mut session, standing) = self.client.write_to(tail.run, tail.fence).await?;
            let admitted = session.admit(lease, &standing, expected, batch).await;
            session.end(admitted).await?;
        }
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        let (mut session, standing) =
            self.client.write_to(lease.run.name().as_str(), stored(lease.fence)).await?;
        let closed = session.close(lease, &standing).await;
        session.end(closed).await
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        let mut session = self.client.write().await?;
        let posted = session.post(run, topic, body).await;
        Ok(session.end(posted).await?)
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        let mut session = self.client.read().await?;
        let posted = session.posted(run.name().as_str(), topic).await;
        Ok(session.end(posted).await?)
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        let mut session = self.client.read().await?;
        let listed = session.list(after, limit).await;
        Ok(session.end(listed).await?)
    }
}

impl Session<'_> {
    async fn take(
        &mut self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Fence, AcquireError> {
        let keys = keys(run, resources);
        let now_ms = self.now_ms().await?;
        for key in &keys {
            let Some(holder) = self.holder(key).await? else { continue };
            if holder.until_ms > now_ms {
                let (resource, until) = (key.clone(), timestamp(holder.until_ms));
                return Err(AcquireError::Held { resource, owner: holder.owner, until });
            }
            self.remove_lease(holder.fence).await?;
        }
        let fence = self.next_fence().await?;
        let holder = Holder { fence, owner: owner.to_owned(), until_ms: deadline(now_ms, ttl) };
        self.add_lease(run.name().as_str(), &holder).await?;
        for key in &keys {
            self.hold(key, fence).await?;
        }
        Ok(Fence(fence.unsigned_abs()))
    }

    async fn renew(&mut self, lease: &Lease) -> Result<(), AcquireError> {
        let until_ms = deadline(self.now_ms().await?, lease.ttl);
        if self.extend_lease(lease.run.name().as_str(), stored(lease.fence), until_ms).await? {
            return Ok(());
        }
        Err(AcquireError::Lost { held: lease.fence, current: self.current(lease).await? })
    }

    async fn release(&mut self, lease: &Lease) -> Result<(), Failure> {
        if self.has_lease(lease.run.name().as_str(), stored(lease.fence)).await? {
            self.remove_lease(stored(lease.fence)).await?;
            // Whoever still appends under the released fence is refused by a later one, though nobody holds it.
            self.next_fence().await?;
        }
        Ok(())
    }

    /// What superseded the lease: the latest fence of its keys, or the store's where nobody holds them.
    async fn current(&mut self, lease: &Lease) -> Result<Fence, Failure> {
        let mut latest = None;
        for key in keys(&lease.run, &lease.resources) {
            latest = latest.max(self.holder(&key).await?.map(|holder| holder.fence));
        }
        let fence = match latest {
            Some(fence) => fence,
            None => self.latest_fence().await?,
        };
        Ok(Fence(fence.unsigned_abs()))
    }

    async fn check(&mut self, lease: &Lease, standing: &Standing) -> Result<(), AppendError> {
        if standing.leased {
            return Ok(());
        }
        Err(AppendError::Superseded { held: lease.fence, current: self.current(lease).await? })
    }

    /// Whether `batch` may be appended.
    async fn admit(
        &mut self,
        lease: &Lease,
        standing: &Standing,
        expected: u64,
        batch: &[RawRecord],
    ) -> Result<(), AppendError> {
        self.check(lease, standing).await?;
        let mut found = standing.head.unwrap_or(0).unsigned_abs();
        if found != expected {
            return Err(AppendError::SeqConflict { expected, found });
        }
        for record in batch {
            // A hole would make the whole run unreadable for ever.
            if record.seq != found + 1 {
                return Err(AppendError::SeqConflict { expected: record.seq.saturating_sub(1), found });
            }
            found = record.seq;
        }
        Ok(())
    }

    async fn close(&mut self, lease: &Lease, standing: &Standing) -> Result<(), AppendError> {
        self.check(lease, standing).await?;
        Ok(self.set_closed(lease.run.name().as_str()).await?)
    }

    async fn post(&mut self, run: &RunId, topic: &str, body: &str) -> Result<bool, Failure> {
        let run = run.name().as_str();
        self.add_posted(run, topic, body).await?;
        Ok(self.posted(run, topic).await?.is_some_and(|posted| posted == body))
    }

    async fn load(&mut self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        let name = run.name().as_str();
        let head = self.head(name).await.map_err(|failure| unreadable(run, 0, failure))?;
        let mut records = Vec::new();
        let mut rows = self.records(name);
        loop {
            let next =
                rows.try_next().await.map_err(|error| unreadable(run, seen(&records), error.into()))?;
            let Some(row) = next else { break };
            let record =
                raw(row).ok_or_else(|| corrupt(run, seen(&records), "its columns hold no record"))?;
            records.push(record);
        }
        drop(rows);
        let last = records.last().map_or(0, |record: &RawRecord| record.seq);
        if head.unwrap_or(0).unsigned_abs() != last {
            return Err(corrupt(run, last, "the journal does not end where the store says it does"));
        }
        Ok(records)
    }

    async fn list(&mut self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, Failure> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let now_ms = self.now_ms().await?;
        let mut runs = Vec::new();
        let mut rows = self.open_runs(after.map_or("", |run| run.name().as_str()), now_ms);
        while runs.len() < limit {
            let Some(row) = rows.try_next().await? else { break };
            // An id that is none can only come from damage; it must not hide the other runs.
            let Ok(run) = RunId::new(row.run) else { continue };
            let leased_until = row.until_ms.map(timestamp);
            runs.push(RunSummary { run, records: row.head.unsigned_abs(), leased_until });
        }
        Ok(runs)
    }
}

/// What a lease holds: the resources and the run itself, each once, in the order in which everybody takes them.
fn keys(run: &RunId, resources: &[Name]) -> Vec<String> {
    let mut keys: Vec<_> = resources.iter().map(|resource| format!("resource {resource}")).collect();
    keys.push(format!("run {run}"));
    keys.sort();
    keys.dedup();
    keys
}

/// The first moment at which a lease taken now is over, never before its time.
fn deadline(now_ms: i64, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    now_ms.saturating_add(ttl).min(Timestamp::MAX.as_millisecond())
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn stored(fence: Fence) -> i64 {
    signed(fence.0)
}

fn raw(row: Row) -> Option<RawRecord> {
    let hash = Digest::from_bytes(row.hash.try_into().ok()?);
    Some(RawRecord { seq: row.seq.try_into().ok()?, body: row.body, hash })
}

fn seen(records: &[RawRecord]) -> u64 {
    records.last().map_or(0, |record| record.seq)
}

fn corrupt(run: &RunId, after: u64, problem: &str) -> LoadError {
    LoadError::Corrupt { run: run.clone(), seq: after.saturating_add(1), problem: problem.to_owned() }
}

fn unreadable(run: &RunId, after: u64, failure: Failure) -> LoadError {
    match failure {
        Failure::Sql(error) if matches!(kind(&error), Kind::Corrupted | Kind::NotADatabase) => {
            corrupt(run, after, &error.to_string())
        }
        failure => failure.into(),
    }
}
