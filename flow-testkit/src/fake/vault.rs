use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// A vault in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryVault {
    ledger: Ledger,
    kept: Arc<Mutex<BTreeMap<Digest, Secret>>>,
}

/// Sealed bytes. Their `Debug` shows how many they are.
#[derive(Clone)]
struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
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

    /// How many different contents it keeps.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().len()
    }

    /// Puts `content` in the place of what was sealed, as somebody would who changes the file underneath.
    pub fn tamper(&self, sealed: &Sealed, content: impl Into<Vec<u8>>) {
        self.kept().insert(sealed.digest, Secret(content.into()));
    }

    /// Loses what was sealed.
    pub fn lose(&self, sealed: &Sealed) {
        self.kept().remove(&sealed.digest);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Digest, Secret>> {
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
                self.kept().insert(digest, Secret(content.to_vec()));
                Ok(Sealed { digest })
            })
            .await
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let digest = sealed.digest;
        let error = |kind, message: &'static str| StepError::new(kind, message).fact("digest", digest);
        self.ledger
            .read("vault.open", digest.short(), || match self.kept().get(&digest) {
                None => Err(error(ErrorKind::NotFound, "the sealed state is gone")),
                Some(kept) if Digest::of(&kept.0) != digest => {
                    Err(error(ErrorKind::Conflict, "the sealed state was changed"))
                }
                Some(kept) => Ok(kept.0.clone()),
            })
            .await
    }
}
