use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use crate::RunId;
use crate::cancel::CancelToken;
use crate::clock::{Entropy, SystemEntropy};
use crate::durable::ending::{delays, end_of, settled};
use crate::durable::keeper::grace;
use crate::durable::milestone::{entry_of, is_recorded};
use crate::durable::session::{Session, chain};
use crate::durable::{
    Attempt, Call, Capabilities, Durable, Fencing, Milestone, Opening, PerformError, Points, attempt,
};
use crate::error::{Cause, ErrorKind, StepError};
use crate::event::EventKind;
use crate::journal::{
    self, AcquireError, End, Ended, Entry, JournalStore, Lease, LoadError, Record, Recorded, Signal,
};
use crate::machine::{CallKey, CallState, Progress, State};
use crate::name::Digest;

/// How long a lease lasts unless it is renewed.
const TTL: Duration = Duration::from_secs(30);
/// How often a waiting run looks for an answer, and for a lease to come free.
const POLL: Duration = Duration::from_millis(200);

/// Durable calls over any [`JournalStore`], and the only writer of its entries.
///
/// An outcome and the next intent share one commit, so a step in a sequence costs one. Whoever is killed between them
/// leaves the outcome unrecorded and the step is executed again: recorded once, executed at least once.
///
/// ```
/// use std::sync::Arc;
/// use flow_core::RunId;
/// use flow_core::durable::Journaled;
/// use flow_core::journal::MemoryJournal;
///
/// let durable = Journaled::new(Arc::new(MemoryJournal::new()), RunId::new("release-42")?);
/// # Ok::<(), flow_core::InvalidName>(())
/// ```
pub struct Journaled<J> {
    store: Arc<J>,
    run: RunId,
    ttl: Duration,
    patience: Duration,
    owner: String,
    session: Mutex<Option<Session<J>>>,
    points: Points,
}

impl<J> fmt::Debug for Journaled<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journaled")
            .field("run", &self.run)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl<J: JournalStore> Journaled<J> {
    /// Durable calls of `run`, kept in `store`.
    #[must_use]
    pub fn new(store: Arc<J>, run: RunId) -> Self {
        let owner = format!("pid-{}-{:08x}", std::process::id(), SystemEntropy.next() & 0xffff_ffff);
        Self {
            store,
            run,
            ttl: TTL,
            patience: Duration::ZERO,
            owner,
            session: Mutex::new(None),
            points: Points::default(),
        }
    }

    /// Lets the lease last `ttl` (30 s unless set): how long a run rests after its owner died.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Waits up to `patience` for another owner's lease to end (not at all unless set).
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Lets `faults` say what goes wrong at this owner's calls and appends, and nowhere else.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn faults(mut self, faults: Arc<dyn crate::durable::FaultPoints>) -> Self {
        self.points = Points::new(faults);
        self
    }

    /// Answers a wait of `run`, from any process. The first answer stays; returns whether it is this one.
    ///
    /// # Errors
    /// [`PerformError::Unavailable`] where the store cannot be written.
    pub async fn answer(
        store: &J,
        run: &RunId,
        wait: &CallKey,
        signal: &Signal,
    ) -> Result<bool, PerformError> {
        let body = serde_json::to_string(signal)
            .map_err(|error| unavailable("the answer has no JSON form", &error))?;
        let posted = store.post(run, &wait.to_string(), &body).await;
        posted.map_err(|error| unavailable("the answer could not be left", &error))
    }

    /// Takes the lease, and says since when it lasts at least.
    async fn acquire(&self, opening: &Opening) -> Result<(Lease, Duration), PerformError> {
        let begun = opening.clock.monotonic();
        loop {
            let asked = opening.clock.monotonic();
            let error = match self.store.acquire(&self.run, &opening.resources, &self.owner, self.ttl).await {
                Ok(lease) => return Ok((lease, asked)),
                Err(error) => error,
            };
            let waited = opening.clock.monotonic().saturating_sub(begun);
            if !matches!(error, AcquireError::Held { .. }) || waited >= self.patience {
                return Err(unavailable("the run cannot be taken", &error));
            }
            opening.clock.sleep(POLL.min(self.patience.saturating_sub(waited))).await;
        }
    }

    /// Reads the journal and checks that it is whole.
    async fn records(&self) -> Result<Vec<Record>, PerformError> {
        let raw = self.store.load(&self.run).await.map_err(|error| match error {
            LoadError::Unavailable(_) => unavailable("the journal cannot be read", &error),
            error => PerformError::Incompatible(chain(&error).join(": ")),
        })?;
        journal::read(&raw).map_err(|corrupt| self.incompatible(&corrupt))
    }

    /// Where the journal stands, if it is of this workflow.
    async fn replay(&self, fingerprint: &Digest) -> Result<(State, Option<(u64, Digest)>), PerformError> {
        let records = self.records().await?;
        let state = State::replay(records.iter().map(|record| &record.entry));
        let state = state.map_err(|illegal| self.incompatible(&illegal))?;
        match state.running() {
            Some(running) if running.plan.fingerprint != *fingerprint => {
                let (found, known) = (running.plan.fingerprint.short(), fingerprint.short());
                let reason = format!("it follows the definition {found}, this workflow is {known}");
                Err(self.incompatible(&reason))
            }
            _ => Ok((state, records.last().map(|record| (record.seq, record.hash)))),
        }
    }

    fn incompatible(&self, reason: &dyn fmt::Display) -> PerformError {
        PerformError::Incompatible(format!("journal of run `{}`: {reason}", self.run))
    }

    async fn session(&self) -> SessionGuard<'_, J> {
        SessionGuard(self.session.lock().await)
    }

    /// Runs one attempt of `call` and says how it went, together with when it began and ended.
    async fn attempt(&self, call: &Call, number: u32) -> Result<Attempted, PerformError> {
        let (fence, lost, grace, clock, points) = {
            let mut guard = self.session().await;
            let session = guard.open()?;
            session.alive()?;
            let lost = session.keeper.lost().clone();
            (
                session.lease.fence,
                lost,
                grace(session.lease.ttl),
                session.clock.clone(),
                session.points.clone(),
            )
        };
        let attempt = Attempt {
            idempotency_key: format!("{}/{}", self.run, call.key),
            fence,
            number,
            cancel: call.options.cancel.child(),
        };
        let began = clock.now();
        let result = attempt::run(call, attempt, &lost, grace, &clock, &points).await;
        Ok(Attempted { result, began, ended: clock.now() })
    }

    /// Waits before the next attempt. Says whether there is to be one.
    async fn back_off(&self, call: &Call, delay: Option<Duration>) -> Result<Option<()>, PerformError> {
        let Some(delay) = delay else { return Ok(None) };
        let clock = self.session().await.open()?.clock.clone();
        tokio::select! {
            () = call.options.cancel.cancelled() => Ok(None),
            () = clock.sleep(delay) => Ok(Some(())),
        }
    }
}

struct Attempted {
    result: Result<Recorded, StepError>,
    began: Timestamp,
    ended: Timestamp,
}

struct SessionGuard<'a, J>(MutexGuard<'a, Option<Session<J>>>);

impl<J> SessionGuard<'_, J> {
    fn open(&mut self) -> Result<&mut Session<J>, PerformError> {
        self.0
            .as_mut()
            .ok_or_else(|| PerformError::Unavailable(Cause::new(ErrorKind::Conflict, "the run is not open")))
    }
}

#[async_trait]
impl<J: JournalStore> Durable for Journaled<J> {
    fn run(&self) -> &RunId {
        &self.run
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: Fencing::PerOwner,
            longest_call: None,
            retention: None,
            power_loss_safe: true,
        }
    }

    async fn open(&self, opening: Opening) -> Result<State, PerformError> {
        let mut guard = self.session().await;
        let (lease, taken) = self.acquire(&opening).await?;
        let (state, head) = match self.replay(&opening.fingerprint).await {
            Ok(replayed) => replayed,
            Err(error) => {
                // The reason for giving up matters more than a lease that will end by itself.
                let _ = self.store.release(&lease).await;
                return Err(error);
            }
        };
        let Opening { clock, events, .. } = opening;
        let mut session =
            Session::new(self.store.clone(), (lease, taken), clock, events, state, head, self.points.clone());
        if let Some(running) = session.state.running() {
            let (plan, replayed, over) =
                (running.plan.clone(), head.map_or(0, |(seq, _)| seq), running.mode.is_over());
            session.emit(session.clock.now(), EventKind::Opened { plan, replayed });
            if !over {
                let fence = session.lease.fence;
                session.record(Entry::OwnerChanged { owner: self.owner.clone(), fence })?;
            }
        }
        let state = session.state.clone();
        *guard.0 = Some(session);
        Ok(state)
    }

    async fn perform(&self, call: Call) -> Result<Recorded, PerformError> {
        let mut delays = delays(&call);
        let mut failed: Option<(u32, StepError)> = None;
        loop {
            let number = {
                let mut guard = self.session().await;
                let session = guard.open()?;
                let known = session.running()?.effect(&call.key).cloned().unwrap_or_default();
                if let Some(ended) = known.ended {
                    return settled(ended);
                }
                if call.options.cancel.is_cancelled() {
                    return Err(PerformError::Cancelled);
                }
                if let Some((attempt, error)) = failed.take() {
                    let (end, cause) = (end_of(&error), Cause::from(&error));
                    session.record(Entry::Attempted { key: call.key.clone(), attempt, end, cause })?;
                }
                let number = known.attempts + 1;
                session.record(Entry::Intended { key: call.key.clone(), attempt: number })?;
                session.commit().await?;
                number
            };
            let Attempted { result, began, ended } = self.attempt(&call, number).await?;
            let error = match result {
                Ok(recorded) => {
                    let done = Ended { end: End::Done, began, ended, recorded: Some(recorded), cause: None };
                    let mut guard = self.session().await;
                    guard.open()?.record(Entry::Ended { key: call.key, ended: Box::new(done.clone()) })?;
                    return settled(done);
                }
                Err(error) => error,
            };
            let delay = if error.kind().is_retryable() { delays.next() } else { None };
            let end = end_of(&error);
            if delay.is_some() {
                let mut guard = self.session().await;
                let session = guard.open()?;
                let kind = EventKind::Retrying { key: call.key.clone(), attempt: number, end };
                session.emit(ended, kind);
            }
            if self.back_off(&call, delay).await?.is_some() {
                failed = Some((number, error));
                continue;
            }
            let mut guard = self.session().await;
            let session = guard.open()?;
            let worst = session.running()?.effect(&call.key).and_then(|known| known.worst);
            let end = worst.map_or(end, |worst| worst.worst(end));
            let ended = Ended { end, began, ended, recorded: None, cause: Some(Cause::from(&error)) };
            session.record(Entry::Ended { key: call.key, ended: Box::new(ended.clone()) })?;
            session.commit().await?;
            return settled(ended);
        }
    }

    async fn read(&self, call: Call) -> Result<Recorded, PerformError> {
        {
            let mut guard = self.session().await;
            if let Some(CallState::Read(recorded)) = guard.open()?.running()?.calls.get(&call.key) {
                return Ok(recorded.clone());
            }
        }
        let mut delays = delays(&call);
        for number in 1.. {
            if call.options.cancel.is_cancelled() {
                break;
            }
            let error = match self.attempt(&call, number).await?.result {
                Ok(recorded) => {
                    let mut guard = self.session().await;
                    guard.open()?.record(Entry::Read { key: call.key, recorded: recorded.clone() })?;
                    return Ok(recorded);
                }
                Err(error) => error,
            };
            let delay = if error.kind().is_retryable() { delays.next() } else { None };
            if self.back_off(&call, delay).await?.is_none() {
                self.session().await.open()?.alive()?;
                // Reading leaves nothing behind, however it ended.
                return Err(match error.kind() {
                    ErrorKind::Cancelled => PerformError::Cancelled,
                    _ => PerformError::Rejected(Cause::from(&error)),
                });
            }
        }
        Err(PerformError::Cancelled)
    }

    async fn sleep(&self, key: CallKey, duration: Duration, cancel: CancelToken) -> Result<(), PerformError> {
        let (clock, lost, until) = {
            let mut guard = self.session().await;
            let session = guard.open()?;
            let until = match session.running()?.calls.get(&key) {
                Some(CallState::Sleep(_, Progress::Over)) => return Ok(()),
                Some(CallState::Sleep(until, Progress::Pending)) => *until,
                _ => {
                    let until = later(session.clock.now(), duration);
                    session.record(Entry::SleepBegan { key: key.clone(), until })?;
                    session.commit().await?;
                    until
                }
            };
            (session.clock.clone(), session.keeper.lost().clone(), until)
        };
        // A clock that jumped back must not make the sleep longer than it was meant to be.
        let left = Duration::try_from(until.duration_since(clock.now())).unwrap_or_default().min(duration);
        tokio::select! {
            () = cancel.cancelled() => return Err(PerformError::Cancelled),
            () = lost.cancelled() => {}
            () = clock.sleep(left) => {}
        }
        self.session().await.open()?.record(Entry::SleepEnded { key })
    }

    async fn wait(
        &self,
        key: CallKey,
        deadline: Option<Duration>,
        cancel: CancelToken,
    ) -> Result<Signal, PerformError> {
        let (clock, lost, until) = {
            let mut guard = self.session().await;
            let session = guard.open()?;
            let until = match session.running()?.calls.get(&key) {
                Some(CallState::Wait(_, Some(signal))) => return Ok(signal.clone()),
                Some(CallState::Wait(until, None)) => *until,
                _ => {
                    let until = deadline.map(|deadline| later(session.clock.now(), deadline));
                    session.record(Entry::WaitBegan { key: key.clone(), until })?;
                    session.commit().await?;
                    until
                }
            };
            (session.clock.clone(), session.keeper.lost().clone(), until)
        };
        let topic = key.to_string();
        let begun = clock.monotonic();
        let signal = loop {
            self.session().await.open()?.alive()?;
            // An answer that is there outweighs a cancel; a store that does not answer keeps neither it nor a lost lease away.
            let posted = tokio::select! {
                biased;
                posted = self.store.posted(&self.run, &topic) => posted,
                () = cancel.cancelled() => return Err(PerformError::Cancelled),
                () = lost.cancelled() => continue,
                () = clock.sleep(self.ttl) => Err(LoadError::Unavailable("no answer in time".into())),
            };
            let posted = posted.map_err(|error| unavailable("an answer cannot be read", &error))?;
            if let Some(body) = posted {
                let refuse = |error| {
                    PerformError::Incompatible(format!("the answer to `{topic}` is unreadable: {error}"))
                };
                break serde_json::from_str(&body).map_err(refuse)?;
            }
            // A clock that jumped back must not make the wait longer than it was meant to be.
            let waited = clock.monotonic().saturating_sub(begun);
            if until.is_some_and(|until| clock.now() >= until) || deadline.is_some_and(|most| waited >= most)
            {
                break Signal::TimedOut;
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(PerformError::Cancelled),
                () = clock.sleep(POLL) => {}
            }
        };
        let mut guard = self.session().await;
        let session = guard.open()?;
        session.record(Entry::Signalled { key, signal: signal.clone() })?;
        session.commit().await?;
        Ok(signal)
    }

    async fn publish(&self, milestone: Milestone) -> Result<(), PerformError> {
        let mut guard = self.session().await;
        let session = guard.open()?;
        if is_recorded(&session.state, &milestone) {
            return Ok(());
        }
        // These travel with the next intent; the others are where somebody may look, or stop looking.
        let waits = matches!(
            milestone,
            Milestone::Concluded { .. } | Milestone::UndoFrozen { .. } | Milestone::Undone(..)
        );
        session.record(entry_of(milestone, &self.owner))?;
        if waits { Ok(()) } else { session.commit().await }
    }

    async fn state(&self) -> Result<State, PerformError> {
        Ok(self.session().await.open()?.state.clone())
    }

    async fn history(&self) -> Result<Vec<Record>, PerformError> {
        self.session().await.open()?.commit().await?;
        self.records().await
    }

    async fn close(&self) {
        let Some(mut session) = self.session.lock().await.take() else { return };
        let over = session.state.running().is_some_and(|running| running.mode.is_over());
        let written = session.commit().await;
        let Session { lease, clock, keeper, .. } = session;
        // A store that does not answer while the lease lasts need not answer any more: it has ended by itself then.
        if over && written.is_ok() {
            // Listing a finished run as unfinished is harmless; whoever opens it finds it finished.
            tokio::select! {
                _ = self.store.close(&lease) => {}
                () = clock.sleep(lease.ttl) => {}
            }
        }
        // Nothing renews it any more, also where it cannot be given back.
        drop(keeper);
        let released = tokio::select! {
            released = self.store.release(&lease) => released,
            () = clock.sleep(lease.ttl) => Err(AcquireError::Unavailable("no answer in time".into())),
        };
        if let Err(error) = released {
            tracing::warn!(run = %self.run, %error, "the lease could not be given back; it will end by itself");
        }
    }
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn unavailable(message: &str, error: &(dyn std::error::Error + 'static)) -> PerformError {
    let mut cause = Cause::new(ErrorKind::Unavailable, message);
    cause.chain = chain(error);
    PerformError::Unavailable(cause)
}
