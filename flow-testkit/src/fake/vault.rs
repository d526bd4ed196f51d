use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};

/// A vault in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryVault(Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>);

#[async_trait]
impl Vault for MemoryVault {
    async fn seal(&self, _permit: &Permit, content: &[u8]) -> Result<Sealed, StepError> {
        let digest = Digest::of(content);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, content.to_vec());
        Ok(Sealed { digest })
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&sealed.digest).cloned();
        kept.ok_or_else(|| StepError::new(ErrorKind::NotFound, "nothing is sealed under this digest"))
    }
}
