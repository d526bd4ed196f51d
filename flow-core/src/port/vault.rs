use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::Digest;
use crate::permit::Permit;

/// A reference to sealed state: safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The digest of the sealed bytes.
    pub digest: Digest,
}

/// Keeps captured state that may hold secrets out of the journal.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Keeps `content` durably, readable by this user alone. The same content kept twice is kept once; where it was changed
    /// or is gone, it is kept anew.
    ///
    /// # Errors
    /// Any kind where it is not durable. None shows the content.
    async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError>;

    /// Reads what was sealed, and checks that it is whole.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when it is gone, [`Conflict`](crate::ErrorKind::Conflict) when it was changed.
    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError>;
}
