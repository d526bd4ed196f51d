use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Cdn, DomainReport, HostPath};
use flow_core::{Permit, Problems, StepError};

use super::FakeAssets;
use crate::ledger::{Change, Ledger};

/// A cache in front of a [`FakeAssets`]: what a reader fetched once is served from then on, until its path is purged.
///
/// Stricter than production: a purge of nothing is refused, since a real one may take it for a purge of everything.
///
/// ```
/// use flow_core::port::Cdn;
/// use flow_testkit::fake::{FakeAssets, FakeCdn};
/// use flow_testkit::permit;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let site = FakeAssets::new();
/// let cdn = FakeCdn::before(&site);
/// site.serve([("index.html", "old")]);
/// assert_eq!(cdn.fetch("index.html").as_deref(), Some(b"old".as_slice()));
/// site.serve([("index.html", "new")]);
/// assert_eq!(cdn.fetch("index.html").as_deref(), Some(b"old".as_slice()), "stale");
///
/// cdn.purge(&permit(), &["index.html".to_owned()]).await?;
/// assert_eq!(cdn.fetch("index.html").as_deref(), Some(b"new".as_slice()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FakeCdn {
    ledger: Ledger,
    origin: FakeAssets,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cache: BTreeMap<String, Vec<u8>>,
    broken: Option<String>,
}

/// The domain of every fake site.
const DOMAIN: &str = "site.test";

impl FakeCdn {
    /// An empty cache in front of `origin`, in the same ledger.
    #[must_use]
    pub fn before(origin: &FakeAssets) -> Self {
        Self { ledger: origin.ledger().clone(), origin: origin.clone(), state: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Fetches a path as a reader does: from the cache, which fills from what the site serves.
    #[must_use]
    pub fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let mut state = self.state();
        if let Some(cached) = state.cache.get(path) {
            return Some(cached.clone());
        }
        let content = self.origin.file(path)?;
        state.cache.insert(path.to_owned(), content.clone());
        Some(content)
    }

    /// The paths that the cache holds.
    #[must_use]
    pub fn cached(&self) -> Vec<String> {
        self.state().cache.keys().cloned().collect()
    }

    /// Breaks the site's domain, as `found` says.
    pub fn break_domain(&self, found: impl Into<String>) {
        self.state().broken = Some(found.into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Cdn for FakeCdn {
    async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError> {
        let change = Change::new("cdn.purge", paths.join(" "), permit).of("cdn");
        self.ledger
            .change_in_parts(change, paths.len().max(1), |part| {
                if part == 0 {
                    if paths.is_empty() {
                        return Err(self.ledger.refuse("a purge of nothing"));
                    }
                    let mut problems = Problems::default();
                    for path in paths.iter().filter(|path| HostPath::new(path.as_str()).is_err()) {
                        problems.add(path.escape_debug().to_string(), "is not a path of the site");
                    }
                    problems.into_result()?;
                }
                if let Some(path) = paths.get(part) {
                    self.state().cache.remove(path);
                }
                Ok(())
            })
            .await
    }

    async fn domain(&self) -> Result<DomainReport, StepError> {
        self.ledger
            .read("cdn.domain", DOMAIN, || {
                let broken = self.state().broken.clone();
                let holds = broken.is_none();
                let found = broken.unwrap_or_else(|| "resolves".to_owned());
                Ok(DomainReport { domain: DOMAIN.to_owned(), holds, found })
            })
            .await
    }
}
