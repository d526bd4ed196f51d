use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::name::{Digest, Name};
use crate::permit::Fence;

/// The right to write a run's journal, until it expires or somebody else takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// The resources that nobody else may touch meanwhile, sorted.
    pub resources: Vec<Name>,
    /// Who holds it, for people.
    pub owner: String,
    /// The fence: greater than that of every earlier lease of this run and of these resources.
    pub fence: Fence,
    /// How long it lasts after each renewal.
    pub ttl: Duration,
}

/// One record as the store keeps it: it does not look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Counts the run's records from 1, without holes.
    pub seq: u64,
    /// The record's text.
    pub body: String,
    /// The chained hash over all records up to this one.
    pub hash: Digest,
}

/// A run as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// How many records it has.
    pub records: u64,
    /// Until when it is leased, by the store's clock; none where nobody holds it.
    pub leased_until: Option<Timestamp>,
}

/// Keeps journals. An implementor **must** hold:
///
/// - what [`append`](Self::append) acknowledged survives the loss of power, all of the batch or none of it;
/// - a lease is a fence and never an identity: its fence is greater than every earlier one of the run *and* of each of
///   its resources, time is the store's own, and anyone may take it once it has expired;
/// - an append under a fence that is no longer the latest of its run, or whose lease has expired and was taken, is refused.
///
/// Whoever implements it proves it with `flow_testkit::journal_conformance!`.
#[async_trait]
pub trait JournalStore: Send + Sync + 'static {
    /// Takes the lease of `run` and of all `resources` in one transaction.
    ///
    /// # Errors
    /// [`AcquireError::Held`] while another owner's lease lasts.
    async fn acquire(
        &self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError>;

    /// Makes the lease last its `ttl` from now.
    ///
    /// # Errors
    /// [`AcquireError::Lost`] when somebody else has taken it, or it was given back.
    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError>;

    /// Gives the lease back: from then on it can be neither renewed nor written under, even while nobody else has taken it. One
    /// that is no longer held is done.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`] where the store cannot be reached.
    async fn release(&self, lease: &Lease) -> Result<(), AcquireError>;

    /// All records of `run`, in order; none where there is no such run.
    ///
    /// # Errors
    /// See [`LoadError`].
    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError>;

    /// Appends `batch` in one commit. `expected` is the `seq` of the last record that the caller knows, 0 for none.
    ///
    /// An implementor **must** hold that the batch stands whole or not at all, whatever it returns, and also when the future
    /// is dropped. The caller acts only on `Ok`. After [`AppendError::Unavailable`], as after a drop, it cannot tell whether
    /// the batch stands (a commit whose `fsync` failed may be found durable later): it neither acts on the batch nor appends
    /// again under this lease, and whoever acquires the run next goes on from what [`load`](Self::load) gives. That is safe
    /// both ways: an intent that stands unacted on is an attempt lost in a crash, and an end that does not stand is an
    /// effect executed once more under the same key.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing of the batch stands then, [`AppendError::Unavailable`] aside.
    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError>;

    /// Marks `run` as over, so that [`incomplete`](Self::incomplete) no longer lists it.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    async fn close(&self, lease: &Lease) -> Result<(), AppendError>;

    /// Leaves `body` for `run` under `topic`, for whoever works on it: an approval, for instance. Needs no lease. The first
    /// body of a topic stays; returns whether it is this one.
    ///
    /// # Errors
    /// [`AppendError::Full`] or [`AppendError::Unavailable`].
    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError>;

    /// What was left for `run` under `topic`.
    ///
    /// # Errors
    /// See [`LoadError`].
    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError>;

    /// The runs that are not over, by id, after `after`, at most `limit`. One bad run does not hide the others.
    ///
    /// # Errors
    /// See [`LoadError`].
    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError>;
}

/// Why a lease could not be taken or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Another owner holds it.
    #[error("`{resource}` is held by `{owner}` until {until}")]
    Held {
        /// The run or the resource.
        resource: String,
        /// Who holds it.
        owner: String,
        /// Until when, by the store's clock.
        until: Timestamp,
    },
    /// Somebody else has taken it.
    #[error("the lease under fence {} was lost to fence {}", held.0, current.0)]
    Lost {
        /// The fence that the caller holds.
        held: Fence,
        /// The latest fence.
        current: Fence,
    },
    /// The store cannot be reached or written.
    #[error("the journal store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The stored records are not what was written.
    #[error("the journal of run `{run}` is corrupted at record {seq}: {problem}")]
    Corrupt {
        /// The run.
        run: RunId,
        /// The first record that is wrong.
        seq: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The store's own layout was made by a later version.
    #[error("the journal store has layout {found}, this library knows up to {known}")]
    Newer {
        /// The store's layout.
        found: u32,
        /// The latest that this library knows.
        known: u32,
    },
    /// The store cannot be reached or read.
    #[error("the journal store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why records could not be appended. Nothing of the batch stands, unless [`Unavailable`](Self::Unavailable) says that this
/// cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A later owner has taken over.
    #[error("fence {} was superseded by fence {}", held.0, current.0)]
    Superseded {
        /// The fence that the caller holds.
        held: Fence,
        /// The latest fence.
        current: Fence,
    },
    /// The journal has other records than the caller knows.
    #[error("the journal ends at record {found}, not at {expected}")]
    SeqConflict {
        /// What the caller expected.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// There is no room.
    #[error("the journal store is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot be reached or written, or did not say that it wrote: the batch stands whole or not at all, and only a
    /// later [`load`](JournalStore::load) tells.
    #[error("the journal store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
