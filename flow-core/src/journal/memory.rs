use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::RunId;
use crate::clock::{Clock, SystemClock};
use crate::journal::{AcquireError, AppendError, JournalStore, Lease, LoadError, RawRecord, RunSummary};
use crate::name::Name;
use crate::permit::Fence;

/// A journal store in memory: for tests and for runs that need not survive their process.
///
/// Leases last by its clock's monotonic time, so that a time of day that jumps ends none early and makes none last.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<RunId, Run>,
    resources: BTreeMap<String, Holder>,
    posted: BTreeMap<(RunId, String), String>,
    fence: u64,
}

#[derive(Debug, Default)]
struct Run {
    records: Vec<RawRecord>,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Holder {
    run: RunId,
    owner: String,
    fence: Fence,
    /// By the store's monotonic time.
    until: Duration,
    given_back: bool,
}

impl MemoryJournal {
    /// An empty store on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Arc::new(SystemClock::new()))
    }

    /// An empty store on `clock`.
    #[must_use]
    pub fn on(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// What the time of day will be at `monotonic`, for people.
    fn time_of_day(&self, monotonic: Duration) -> Timestamp {
        let left = monotonic.saturating_sub(self.clock.monotonic());
        self.clock.now().checked_add(left).unwrap_or(Timestamp::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a poisoned lock is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

/// The run itself is the first key that its lease holds.
fn keys(run: &RunId, resources: &[Name]) -> Vec<String> {
    let run = format!("run {run}");
    let mut keys: Vec<String> = resources.iter().map(|resource| format!("resource {resource}")).collect();
    keys.push(run);
    keys.sort();
    keys.dedup();
    keys
}

impl State {
    fn current(&self, lease: &Lease) -> Fence {
        self.resources.get(&format!("run {}", lease.run)).map_or(Fence(0), |holder| holder.fence)
    }

    fn check(&self, lease: &Lease) -> Result<(), AppendError> {
        let lost = keys(&lease.run, &lease.resources).into_iter().find_map(|key| {
            let holder = self.resources.get(&key);
            holder
                .is_none_or(|holder| holder.fence != lease.fence || holder.given_back)
                .then(|| holder.map_or(self.current(lease), |h| h.fence))
        });
        lost.map_or(Ok(()), |current| Err(AppendError::Superseded { held: lease.fence, current }))
    }
}

#[async_trait]
impl JournalStore for MemoryJournal {
    async fn acquire(
        &self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let keys = keys(run, resources);
        for key in &keys {
            if let Some(holder) = state.resources.get(key).filter(|holder| holder.until > now) {
                let (owner, until) = (holder.owner.clone(), self.time_of_day(holder.until));
                return Err(AcquireError::Held { resource: key.clone(), owner, until });
            }
        }
        state.fence += 1;
        let fence = Fence(state.fence);
        for key in keys {
            let holder = Holder {
                run: run.clone(),
                owner: owner.to_owned(),
                fence,
                until: now.saturating_add(ttl),
                given_back: false,
            };
            state.resources.insert(key, holder);
        }
        let mut resources = resources.to_vec();
        resources.sort();
        resources.dedup();
        Ok(Lease { run: run.clone(), resources, owner: owner.to_owned(), fence, ttl })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        let until = self.clock.monotonic().saturating_add(lease.ttl);
        let mut state = self.state();
        // A late heartbeat must not revive a lease that was given back.
        if state.check(lease).is_err() {
            return Err(AcquireError::Lost { held: lease.fence, current: state.current(lease) });
        }
        for key in keys(&lease.run, &lease.resources) {
            if let Some(holder) = state.resources.get_mut(&key) {
                holder.until = until;
            }
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        let mut state = self.state();
        for key in keys(&lease.run, &lease.resources) {
            // The holder stays, so that its fence is remembered: whoever still renews the lease, or writes under it, is late.
            if let Some(holder) = state.resources.get_mut(&key).filter(|holder| holder.fence == lease.fence) {
                (holder.until, holder.given_back) = (Duration::ZERO, true);
            }
        }
        Ok(())
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        Ok(self.state().runs.get(run).map(|run| run.records.clone()).unwrap_or_default())
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let mut state = self.state();
        state.check(lease)?;
        let run = state.runs.entry(lease.run.clone()).or_default();
        let found = run.records.last().map_or(0, |record| record.seq);
        if found != expected {
            return Err(AppendError::SeqConflict { expected, found });
        }
        if let Some((record, expected)) =
            batch.iter().zip(found + 1..).find(|(record, seq)| record.seq != *seq)
        {
            return Err(AppendError::SeqConflict { expected, found: record.seq });
        }
        run.records.extend_from_slice(batch);
        Ok(())
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        let mut state = self.state();
        state.check(lease)?;
        state.runs.entry(lease.run.clone()).or_default().closed = true;
        Ok(())
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        let mut state = self.state();
        let posted = state.posted.entry((run.clone(), topic.to_owned())).or_insert_with(|| body.to_owned());
        Ok(posted == body)
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        Ok(self.state().posted.get(&(run.clone(), topic.to_owned())).cloned())
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        let now = self.clock.monotonic();
        let state = self.state();
        let open = state.runs.iter().filter(|(id, run)| !run.closed && after.is_none_or(|after| *id > after));
        let summary = |(id, run): (&RunId, &Run)| {
            let holder = state.resources.values().find(|holder| holder.run == *id && holder.until > now);
            let records = u64::try_from(run.records.len()).unwrap_or(u64::MAX);
            RunSummary {
                run: id.clone(),
                records,
                leased_until: holder.map(|holder| self.time_of_day(holder.until)),
            }
        };
        Ok(open.map(summary).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }
}
