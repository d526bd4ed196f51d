//! Replacing a kept file, and putting the old one back.

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::ConfigurationStore;

/// The content that stood under a name before; none where nothing did.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OldContent(Option<Vec<u8>>);

impl OldContent {
    pub(super) async fn read(store: &dyn ConfigurationStore, name: &Name) -> Result<Self, StepError> {
        store.read(name).await.map(Self)
    }

    pub(super) fn is(&self, content: &[u8]) -> bool {
        self.0.as_deref() == Some(content)
    }

    /// What stands there, without its content, which may be secret.
    pub(super) fn describe(&self) -> String {
        self.0.as_deref().map_or_else(|| "absent".to_owned(), |content| Digest::of(content).to_string())
    }

    /// Puts it back.
    pub(super) async fn restore(
        self,
        store: &dyn ConfigurationStore,
        permit: &Permit,
        name: &Name,
    ) -> Result<(), StepError> {
        replace(store, permit, name, self.0).await
    }
}

/// Puts `content` under `name`, or nothing, and reads it back.
pub(super) async fn replace(
    store: &dyn ConfigurationStore,
    permit: &Permit,
    name: &Name,
    content: Option<Vec<u8>>,
) -> Result<(), StepError> {
    if store.read(name).await? == content {
        return Ok(());
    }
    store.write(permit, name, content.clone()).await?;
    if store.read(name).await.map_err(StepError::after_effect)? == content {
        return Ok(());
    }
    Err(StepError::in_doubt("what was written does not read back").fact("name", name))
}
