use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::{Durable, Journaled};
use flow_core::journal::{JournalStore, Lease, Signal};
use flow_core::machine::CallKey;
use flow_core::{Fence, RunId, SystemClock, SystemEntropy};

use super::{DurableFixture, Holds};
use crate::conformance::patience::PATIENCE;

/// A run of flow-core's [`Journaled`] over a store: what whoever implements a [`JournalStore`] proves with
/// [`durable_conformance!`](crate::durable_conformance).
#[derive(Debug)]
pub struct JournaledRun<J> {
    store: Arc<J>,
    run: RunId,
}

impl<J: JournalStore> JournaledRun<J> {
    /// A run in `store` that nobody has begun.
    #[must_use]
    pub fn new(store: J) -> Self {
        Self { store: Arc::new(store), run: RunId::generate(&SystemClock::new(), &SystemEntropy) }
    }
}

#[async_trait]
impl<J: JournalStore> DurableFixture for JournaledRun<J> {
    fn handle(&self, holds: Holds) -> Arc<dyn Durable> {
        let handle = Journaled::new(self.store.clone(), self.run.clone());
        Arc::new(match holds {
            Holds::Briefly => handle.ttl(Duration::from_secs(1)).patience(PATIENCE),
            Holds::Long => handle.ttl(Duration::from_secs(600)),
        })
    }

    async fn answer(
        &self,
        wait: &CallKey,
        signal: &Signal,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Journaled::answer(&*self.store, &self.run, wait, signal).await?)
    }

    async fn usurp(&self, fence: Fence) -> Option<()> {
        let (run, owner, ttl) = (self.run.clone(), String::new(), Duration::from_secs(600));
        let lease = Lease { run, resources: Vec::new(), owner, fence, ttl };
        self.store.release(&lease).await.ok()?;
        self.store.acquire(&self.run, &[], "usurper", ttl).await.ok()?;
        Some(())
    }
}
