//! What one owner knows of a run while it holds it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::durable::keeper::Keeper;
use crate::durable::{PerformError, Points};
use crate::error::{Cause, ErrorKind};
use crate::event::{Event, EventHub, EventKind};
use crate::journal::{self, AppendError, Entry, JournalStore, Lease};
use crate::machine::{Running, State};
use crate::name::Digest;

/// A held run: its state, and the entries that the next commit takes with it.
pub(super) struct Session<J> {
    pub(super) store: Arc<J>,
    pub(super) lease: Lease,
    pub(super) keeper: Keeper,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: EventHub,
    pub(super) state: State,
    /// The last record that survives a crash.
    pub(super) head: Option<(u64, Digest)>,
    pending: Vec<(Timestamp, Entry)>,
    next_event: u64,
    /// Once a commit failed or was dropped, nobody knows what the journal holds: this session never writes again.
    failed: Option<PerformError>,
    pub(super) points: Points,
}

impl<J: JournalStore> Session<J> {
    /// The session of an owner whose lease was taken no earlier than `taken`.
    pub(super) fn new(
        store: Arc<J>,
        (lease, taken): (Lease, Duration),
        clock: Arc<dyn Clock>,
        events: EventHub,
        state: State,
        head: Option<(u64, Digest)>,
        points: Points,
    ) -> Self {
        let keeper = Keeper::watch(store.clone(), lease.clone(), taken, clock.clone(), points.clone());
        let (pending, next_event, failed) = (Vec::new(), 0, None);
        Self { store, lease, keeper, clock, events, state, head, pending, next_event, failed, points }
    }

    /// Whether this owner may still act.
    pub(super) fn alive(&self) -> Result<(), PerformError> {
        self.failed.clone().or_else(|| self.keeper.fate()).map_or(Ok(()), Err)
    }

    /// The run, which must have been started.
    pub(super) fn running(&self) -> Result<&Running, PerformError> {
        self.state.running().ok_or_else(|| PerformError::Incompatible("the run was not started".to_owned()))
    }

    /// Takes `entry` into the state; it is written with the next commit.
    pub(super) fn record(&mut self, entry: Entry) -> Result<(), PerformError> {
        self.alive()?;
        self.state.apply(&entry).map_err(|illegal| PerformError::Incompatible(illegal.to_string()))?;
        self.pending.push((self.clock.now(), entry));
        Ok(())
    }

    /// Writes everything that is pending, in one commit. A write that is refused, or that does not return while the lease
    /// lasts or is dropped, may stand all the same: this session is over then, and whoever opens the run next reads what is there.
    pub(super) async fn commit(&mut self) -> Result<(), PerformError> {
        self.alive()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut head = self.head;
        let mut batch = Vec::with_capacity(self.pending.len());
        for (at, entry) in &self.pending {
            let raw = journal::write(head, *at, self.lease.fence, entry).map_err(|error| {
                let message = format!("an entry has no JSON form: {error}");
                self.failed.insert(PerformError::Incompatible(message)).clone()
            })?;
            head = Some((raw.seq, raw.hash));
            batch.push(raw);
        }
        let expected = self.head.map_or(0, |(seq, _)| seq);
        // Stands until the append is acknowledged: whoever drops this future cannot tell what the journal holds either.
        let dropped = "an append was dropped before the store answered";
        self.failed = Some(PerformError::Unavailable(Cause::new(ErrorKind::Unavailable, dropped)));
        let write = self.store.append(&self.lease, expected, &batch);
        let appended = tokio::select! {
            biased;
            appended = self.points.append(&self.lease, &self.pending, &self.clock, write) => appended,
            () = self.keeper.lost().cancelled() => Err(AppendError::Unavailable("the lease was lost meanwhile".into())),
            () = self.clock.sleep(self.lease.ttl) => Err(AppendError::Unavailable("no answer in time".into())),
        };
        if let Err(error) = appended {
            let known = self.keeper.fate().unwrap_or_else(|| translate(error));
            return Err(self.failed.insert(known).clone());
        }
        self.failed = None;
        self.head = head;
        for (at, entry) in std::mem::take(&mut self.pending) {
            self.emit(at, told(entry));
        }
        Ok(())
    }

    pub(super) fn emit(&mut self, at: Timestamp, kind: EventKind) {
        let event = Event { index: self.next_event, at, run: self.lease.run.clone(), kind };
        self.next_event += 1;
        self.events.emit(event);
    }
}

/// The event that tells of an entry. The first one carries the plan, so that a late reader can draw everything.
fn told(entry: Entry) -> EventKind {
    match entry {
        Entry::Started { plan, .. } => EventKind::Opened { plan: Arc::new(*plan), replayed: 0 },
        entry => EventKind::Recorded { entry: Arc::new(entry) },
    }
}

fn translate(error: AppendError) -> PerformError {
    match error {
        AppendError::Superseded { held, current } => PerformError::Superseded { held, current },
        error => {
            let mut cause = Cause::new(ErrorKind::Unavailable, "nothing can be recorded");
            cause.chain = chain(&error);
            PerformError::Unavailable(cause)
        }
    }
}

/// An error with all its causes, outermost first.
pub(super) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut chain = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    chain
}
