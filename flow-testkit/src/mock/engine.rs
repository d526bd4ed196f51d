//! The seams under the engine: time, chance, durable calls and journals.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::{Call, Capabilities, Durable, Milestone, Opening, PerformError};
use flow_core::journal::{
    AcquireError, AppendError, JournalStore, Lease, LoadError, RawRecord, Record, Recorded, RunSummary,
    Signal,
};
use flow_core::machine::{CallKey, State};
use flow_core::{CancelToken, Clock, Entropy, Name, RunId};
use futures::future::BoxFuture;
use jiff::Timestamp;
use mockall::mock;

mock! {
    /// A mock of [`Clock`].
    #[derive(Debug)]
    pub Clock {}

    impl Clock for Clock {
        fn now(&self) -> Timestamp;
        fn monotonic(&self) -> Duration;
        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    }
}

mock! {
    /// A mock of [`Entropy`].
    #[derive(Debug)]
    pub Entropy {}

    impl Entropy for Entropy {
        fn next(&self) -> u64;
    }
}

mock! {
    /// A mock of [`Durable`].
    pub Durable {}

    #[async_trait]
    impl Durable for Durable {
        fn run(&self) -> &RunId;
        fn capabilities(&self) -> Capabilities;
        async fn open(&self, opening: Opening) -> Result<State, PerformError>;
        async fn perform(&self, call: Call) -> Result<Recorded, PerformError>;
        async fn read(&self, call: Call) -> Result<Recorded, PerformError>;
        async fn sleep(&self, key: CallKey, duration: Duration, cancel: CancelToken) -> Result<(), PerformError>;
        async fn wait(
            &self,
            key: CallKey,
            deadline: Option<Duration>,
            cancel: CancelToken,
        ) -> Result<Signal, PerformError>;
        async fn publish(&self, milestone: Milestone) -> Result<(), PerformError>;
        async fn state(&self) -> Result<State, PerformError>;
        async fn history(&self) -> Result<Vec<Record>, PerformError>;
        async fn close(&self);
    }
}

mock! {
    /// A mock of [`JournalStore`].
    pub JournalStore {}

    #[async_trait]
    impl JournalStore for JournalStore {
        async fn acquire(
            &self,
            run: &RunId,
            resources: &[Name],
            owner: &str,
            ttl: Duration,
        ) -> Result<Lease, AcquireError>;
        async fn renew(&self, lease: &Lease) -> Result<(), AcquireError>;
        async fn release(&self, lease: &Lease) -> Result<(), AcquireError>;
        async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError>;
        async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError>;
        async fn close(&self, lease: &Lease) -> Result<(), AppendError>;
        async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError>;
        async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError>;
        async fn incomplete<'s, 'a>(
            &'s self,
            after: Option<&'a RunId>,
            limit: u32,
        ) -> Result<Vec<RunSummary>, LoadError>;
    }
}
