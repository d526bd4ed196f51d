use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::journal::{
    AcquireError, AppendError, JournalStore, Lease, LoadError, MemoryJournal, RawRecord, RunSummary, chain,
};
use flow_core::{Digest, Fence, Name, RunId, StepError};

use crate::ledger::Ledger;

/// A journal store over another that forgives nothing, with faults at `journal.acquire`, `journal.renew`, `journal.release`,
/// `journal.load`, `journal.append`, `journal.close`, `journal.post` and `journal.incomplete`, about the run.
///
/// It notes among the [refusals](Ledger::refusals), and refuses,
/// - a second release of one lease;
/// - a renewal, an append and a close under a released lease;
/// - an empty batch, one whose records do not count on from what is there, and one whose hashes do not follow from it.
///
/// A [`JournalStore`] must take a second release for done. This one does not, on purpose: an owner that gives one lease back
/// twice has lost count, and may give back what is no longer its own. It is for tests of whoever **uses** a store, and so the one
/// promise of [`journal_conformance!`](crate::journal_conformance) that it breaks is that one.
#[derive(Debug, Clone)]
pub struct StrictJournal<J = MemoryJournal> {
    store: J,
    ledger: Ledger,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    released: BTreeSet<Fence>,
    heads: BTreeMap<RunId, (u64, Option<Digest>)>,
}

impl<J: JournalStore> StrictJournal<J> {
    /// Watches over `store`.
    #[must_use]
    pub fn over(store: J) -> Self {
        Self::in_ledger(store, &Ledger::new())
    }

    /// Watches over `store` in a world that it shares.
    #[must_use]
    pub fn in_ledger(store: J, ledger: &Ledger) -> Self {
        Self { store, ledger: ledger.clone(), seen: Arc::default() }
    }

    /// The ledger that it writes into.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is done under a lease that its owner has given back.
    fn held(&self, lease: &Lease, what: &str) -> Result<(), StepError> {
        if !self.seen().released.contains(&lease.fence) {
            return Ok(());
        }
        let Lease { run, fence, .. } = lease;
        Err(self.ledger.refuse(format!("run `{run}` {what} under fence {}, which was given back", fence.0)))
    }

    /// Refuses a batch that does not follow what is there. Where the caller only expects another end, the store itself says so.
    fn follows(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), StepError> {
        let refuse = |why: String| Err(self.ledger.refuse(format!("run `{}` appends {why}", lease.run)));
        let known = self.seen().heads.get(&lease.run).copied();
        if batch.is_empty() {
            return refuse("an empty batch".to_owned());
        }
        let mut before = match known {
            Some((seq, hash)) if seq == expected => Some(hash),
            None if expected == 0 => Some(None),
            _ => None,
        };
        for (record, seq) in batch.iter().zip(expected + 1..) {
            if record.seq != seq {
                return refuse(format!("record {} in the place of {seq}", record.seq));
            }
            if before.is_some_and(|before| chain(before, seq, &record.body) != record.hash) {
                return refuse(format!("record {seq} whose hash does not follow"));
            }
            before = Some(Some(record.hash));
        }
        Ok(())
    }

    fn note_head(&self, run: &RunId, records: &[RawRecord]) {
        if let Some(last) = records.last() {
            self.seen().heads.insert(run.clone(), (last.seq, Some(last.hash)));
        }
    }
}

fn unwritten(refused: StepError) -> AppendError {
    AppendError::Unavailable(refused.into())
}

fn unread(refused: StepError) -> LoadError {
    LoadError::Unavailable(refused.into())
}

fn untaken(refused: StepError) -> AcquireError {
    AcquireError::Unavailable(refused.into())
}

#[async_trait]
impl<J: JournalStore> JournalStore for StrictJournal<J> {
    async fn acquire(
        &self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let call = self.store.acquire(run, resources, owner, ttl);
        self.ledger.pass("journal.acquire", run, call, untaken).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        let call = async {
            self.held(lease, "is renewed").map_err(untaken)?;
            self.store.renew(lease).await
        };
        self.ledger.pass("journal.renew", &lease.run, call, untaken).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        let call = async {
            self.held(lease, "is released").map_err(untaken)?;
            self.store.release(lease).await?;
            self.seen().released.insert(lease.fence);
            Ok(())
        };
        self.ledger.pass("journal.release", &lease.run, call, untaken).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        let call = async {
            let records = self.store.load(run).await?;
            self.note_head(run, &records);
            Ok(records)
        };
        self.ledger.pass("journal.load", run, call, unread).await
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let call = async {
            self.held(lease, "is written").map_err(unwritten)?;
            self.follows(lease, expected, batch).map_err(unwritten)?;
            self.store.append(lease, expected, batch).await?;
            self.note_head(&lease.run, batch);
            Ok(())
        };
        self.ledger.pass("journal.append", &lease.run, call, unwritten).await
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        let call = async {
            self.held(lease, "is closed").map_err(unwritten)?;
            self.store.close(lease).await
        };
        self.ledger.pass("journal.close", &lease.run, call, unwritten).await
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        self.ledger.pass("journal.post", run, self.store.post(run, topic, body), unwritten).await
    }

    /// Not in the ledger: a waiting run asks it many times a second.
    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        self.store.posted(run, topic).await
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        let about = after.map(ToString::to_string).unwrap_or_default();
        self.ledger.pass("journal.incomplete", about, self.store.incomplete(after, limit), unread).await
    }
}
