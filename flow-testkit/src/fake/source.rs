use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Source, SourceRequest, SourceVersion};
use flow_core::{ErrorKind, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// A repository in memory: tags, the commits that they point to, and the trees that are checked out.
#[derive(Debug, Clone)]
pub struct FakeSource {
    ledger: Ledger,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tags: BTreeMap<String, String>,
    trees: BTreeSet<String>,
    dirty: BTreeSet<String>,
}

impl Default for FakeSource {
    fn default() -> Self {
        Self::in_ledger(&Ledger::new())
    }
}

impl FakeSource {
    /// A repository without tags.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A repository without tags that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), state: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets `tag` point to `commit`, whatever it pointed to before.
    pub fn tag(&self, tag: impl Into<String>, commit: impl Into<String>) {
        self.state().tags.insert(tag.into(), commit.into());
    }

    /// Edits the tree of `commit` behind everybody's back: it is dirty until it is checked out anew.
    pub fn soil(&self, commit: impl Into<String>) {
        self.state().dirty.insert(commit.into());
    }

    /// The commits whose trees are checked out.
    #[must_use]
    pub fn checked_out(&self) -> Vec<String> {
        self.state().trees.iter().cloned().collect()
    }

    /// Whether the tree of `version` stands as its commit has it.
    pub(super) fn has(&self, version: &SourceVersion) -> bool {
        let state = self.state();
        state.trees.contains(&version.commit) && !state.dirty.contains(&version.commit)
    }

    fn at(&self, tag: &str) -> Result<SourceVersion, StepError> {
        let missing = || StepError::new(ErrorKind::NotFound, "there is no such tag").fact("tag", tag);
        let commit = self.state().tags.get(tag).cloned().ok_or_else(missing)?;
        Ok(SourceVersion { tree: format!("/trees/{commit}").into(), tag: tag.to_owned(), commit })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError> {
        self.ledger
            .read("source.resolve", &request.tag, || {
                let version = self.at(&request.tag)?;
                if self.state().dirty.contains(&version.commit) {
                    return Err(StepError::new(ErrorKind::Conflict, "the tree is dirty")
                        .fact("path", version.tree.display()));
                }
                Ok(version)
            })
            .await
    }

    async fn check_out(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        self.ledger
            .change(Change::new("source.check_out", &version.commit, permit), || {
                if self.at(&version.tag)? != *version {
                    return Err(
                        StepError::new(ErrorKind::Conflict, "the tag has moved").fact("tag", &version.tag)
                    );
                }
                let mut state = self.state();
                state.dirty.remove(&version.commit);
                state.trees.insert(version.commit.clone());
                Ok(())
            })
            .await
    }
}
