use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, Name, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// An evidence store in memory.
///
/// It gives expired evidence as well: whether evidence can still be relied on is for its reader to say.
#[derive(Debug, Clone, Default)]
pub struct MemoryEvidence {
    ledger: Ledger,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    kept: Vec<RunEvidence>,
    damaged: bool,
}

impl MemoryEvidence {
    /// An empty store that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), shelf: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that was recorded, in the order that it was recorded in.
    #[must_use]
    pub fn all(&self) -> Vec<RunEvidence> {
        self.shelf().kept.clone()
    }

    /// Makes what is kept unreadable until it is [mended](Self::mend): it is neither found nor taken for absent.
    pub fn damage(&self) {
        self.shelf().damaged = true;
    }

    /// Makes what is kept readable again.
    pub fn mend(&self) {
        self.shelf().damaged = false;
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn readable(&self) -> Result<(), StepError> {
        if self.damaged {
            return Err(StepError::new(ErrorKind::Conflict, "the evidence is damaged"));
        }
        Ok(())
    }

    fn record(&mut self, evidence: &RunEvidence) -> Result<(), StepError> {
        self.readable()?;
        match self.kept.iter().find(|kept| kept.is_of_run_of(evidence)) {
            None => self.kept.push(evidence.clone()),
            Some(kept) if kept.deploys_the_same_as(evidence) => {}
            Some(kept) => {
                return Err(StepError::new(ErrorKind::Conflict, "the run has recorded other evidence")
                    .fact("run", &kept.run)
                    .fact("release", &kept.release));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl EvidenceStore for MemoryEvidence {
    async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
        let refused = evidence.check();
        let change = Change::new("evidence.record", &evidence.run, permit);
        self.ledger
            .change(change, || {
                refused.clone()?;
                self.shelf().record(evidence)
            })
            .await
    }

    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError> {
        self.ledger
            .read("evidence.find", application, || {
                let shelf = self.shelf();
                shelf.readable()?;
                let wanted = |kept: &&RunEvidence| {
                    kept.application == *application
                        && kept.environment == environment
                        && kept.digests.contains(digest)
                };
                let mut found: Vec<RunEvidence> = shelf.kept.iter().filter(wanted).cloned().collect();
                found.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));
                Ok(found)
            })
            .await
    }
}
