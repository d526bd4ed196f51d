use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_core::{ErrorKind, Name, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// The largest configuration: 1 MiB.
const LIMIT: usize = 1 << 20;

/// A configuration store in memory. It never shows what it holds but to who [asks](Self::in_force).
#[derive(Clone, Default)]
pub struct FakeConfiguration {
    ledger: Ledger,
    files: Arc<Mutex<BTreeMap<Name, Vec<u8>>>>,
}

impl FakeConfiguration {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), files: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts a configuration in force, as somebody else would.
    pub fn put(&self, name: Name, content: impl Into<Vec<u8>>) {
        self.files().insert(name, content.into());
    }

    /// The configuration in force under `name`.
    #[must_use]
    pub fn in_force(&self, name: &Name) -> Option<Vec<u8>> {
        self.files().get(name).cloned()
    }

    /// The names of all configurations in force, ordered.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.files().keys().cloned().collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeConfiguration").field("names", &self.names()).finish_non_exhaustive()
    }
}

#[async_trait]
impl ConfigurationStore for FakeConfiguration {
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        self.ledger.read("configuration.read", name, || Ok(self.in_force(name))).await
    }

    async fn write(&self, permit: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError> {
        let change = Change::new("configuration.write", name, permit);
        self.ledger
            .change(change, || {
                if content.as_ref().is_some_and(|content| content.len() > LIMIT) {
                    return Err(StepError::new(
                        ErrorKind::Invalid,
                        "the configuration is larger than its limit",
                    )
                    .fact("name", name)
                    .fact("limit", LIMIT));
                }
                let mut files = self.files();
                match &content {
                    Some(content) => files.insert(name.clone(), content.clone()),
                    None => files.remove(name),
                };
                Ok(())
            })
            .await
    }
}
