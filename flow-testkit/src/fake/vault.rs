use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// A vault in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryVault {
    ledger: Ledger,
    kept: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
}

impl MemoryVault {
    /// An empty vault that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), kept: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Vault for MemoryVault {
    async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError> {
        let digest = Digest::of(content);
        let change = Change::new("vault.seal", digest.short(), permit);
        self.ledger
            .change(change, || {
                self.kept().insert(digest, content.to_vec());
                Ok(Sealed { digest })
            })
            .await
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let missing = || StepError::new(ErrorKind::NotFound, "nothing is sealed under this digest");
        self.ledger
            .read("vault.open", sealed.digest.short(), || {
                self.kept().get(&sealed.digest).cloned().ok_or_else(missing)
            })
            .await
    }
}
