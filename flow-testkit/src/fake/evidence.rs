use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, Name, Permit, StepError};

/// An evidence store in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryEvidence(Arc<Mutex<Vec<RunEvidence>>>);

impl MemoryEvidence {
    /// Everything that was recorded, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<RunEvidence> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl EvidenceStore for MemoryEvidence {
    async fn record(&self, _permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains(evidence) {
            kept.push(evidence.clone());
        }
        Ok(())
    }

    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError> {
        let mut found = self.all();
        found.retain(|evidence| {
            evidence.application == *application
                && evidence.environment == environment
                && evidence.digests.contains(digest)
        });
        Ok(found)
    }
}
