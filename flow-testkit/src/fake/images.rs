use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{ImageRegistry, SourceVersion};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use super::FakeSource;
use crate::ledger::{Change, Ledger};

/// A registry of container images in memory. An image is the digest of the commit that it was built from.
///
/// Stricter than production: a reference is never overwritten, and nothing is pushed from a tree that is not checked out as
/// its commit has it.
#[derive(Debug, Clone)]
pub struct FakeImages {
    source: FakeSource,
    images: Arc<Mutex<BTreeMap<String, Digest>>>,
}

impl FakeImages {
    /// An empty registry for images of the trees of `source`, in the same ledger.
    #[must_use]
    pub fn of(source: &FakeSource) -> Self {
        Self { source: source.clone(), images: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        self.source.ledger()
    }

    /// Makes `reference` an image that somebody else pushed.
    pub fn have(&self, reference: impl Into<String>, digest: Digest) {
        self.images().insert(reference.into(), digest);
    }

    /// The images by their references.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Digest> {
        self.images().clone()
    }

    fn images(&self) -> MutexGuard<'_, BTreeMap<String, Digest>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ImageRegistry for FakeImages {
    async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError> {
        self.ledger().read("images.find", reference, || Ok(self.images().get(reference).copied())).await
    }

    async fn push(
        &self,
        permit: &Permit,
        tree: &SourceVersion,
        reference: &str,
    ) -> Result<Digest, StepError> {
        let change = Change::new("images.push", reference, permit).once(&tree.commit);
        self.ledger()
            .change(change, || {
                if !self.source.has(tree) {
                    let reason = format!("{} is pushed without its tree being checked out", tree.commit);
                    return Err(self.ledger().refuse_as(ErrorKind::NotFound, reason));
                }
                let digest = Digest::of(tree.commit.as_bytes());
                if *self.images().entry(reference.to_owned()).or_insert(digest) == digest {
                    return Ok(digest);
                }
                Err(self.ledger().refuse(format!("`{reference}` would be overwritten by another image")))
            })
            .await
    }
}
