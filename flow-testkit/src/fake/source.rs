use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Source, SourceRequest, SourceVersion};
use flow_core::{ErrorKind, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// Where trees are checked out.
const TREES: &str = "/trees";

/// A repository in memory: tags, the commits that they point to, and the trees that are checked out.
#[derive(Debug, Clone)]
pub struct FakeSource {
    ledger: Ledger,
    state: Arc<Mutex<State>>,
}

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct State {
    tags: BTreeMap<String, String>,
    commits: BTreeMap<String, Files>,
    /// What stands at each commit's place.
    trees: BTreeMap<String, Files>,
    dirty: bool,
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

    /// Lets `tag` point to `commit`, whatever it pointed to before. The commit has one file, unless it was
    /// [described](Self::commit).
    pub fn tag(&self, tag: impl Into<String>, commit: impl Into<String>) {
        let (mut state, commit) = (self.state(), commit.into());
        let only = Files::from([("commit.txt".to_owned(), commit.clone().into_bytes())]);
        state.commits.entry(commit.clone()).or_insert(only);
        state.tags.insert(tag.into(), commit);
    }

    /// Makes `files` the files of `commit`.
    pub fn commit<P: Into<String>, C: Into<Vec<u8>>>(
        &self,
        commit: impl Into<String>,
        files: impl IntoIterator<Item = (P, C)>,
    ) {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into())).collect();
        self.state().commits.insert(commit.into(), files);
    }

    /// Edits the work tree of the repository without a commit: it is dirty from now on.
    pub fn soil(&self) {
        self.state().dirty = true;
    }

    /// Edits the checked-out tree of `commit` behind everybody's back.
    pub fn edit(&self, commit: &str) {
        if let Some(tree) = self.state().trees.get_mut(commit) {
            tree.insert("edited.txt".to_owned(), Vec::new());
        }
    }

    /// The commits whose trees are checked out.
    #[must_use]
    pub fn checked_out(&self) -> Vec<String> {
        self.state().trees.keys().cloned().collect()
    }

    /// The files that stand at `tree`; none where nothing is checked out there.
    #[must_use]
    pub fn tree(&self, tree: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
        let state = self.state();
        let commit = tree.strip_prefix(TREES).ok()?.to_str()?;
        state.trees.get(commit).cloned()
    }

    /// Whether the tree of `version` stands as its commit has it.
    pub(super) fn has(&self, version: &SourceVersion) -> bool {
        let state = self.state();
        let tree = state.trees.get(&version.commit);
        tree.is_some() && tree == state.commits.get(&version.commit)
    }

    fn at(&self, tag: &str) -> Result<SourceVersion, StepError> {
        let missing = || StepError::new(ErrorKind::NotFound, "there is no such tag").fact("tag", tag);
        let state = self.state();
        let commit = state.tags.get(tag).cloned().ok_or_else(missing)?;
        if state.dirty {
            return Err(StepError::new(ErrorKind::Conflict, "the repository's work tree is not clean"));
        }
        Ok(SourceVersion { tree: Path::new(TREES).join(&commit), tag: tag.to_owned(), commit })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError> {
        self.ledger.read("source.resolve", &request.tag, || self.at(&request.tag)).await
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
                let files = state.commits.get(&version.commit).cloned().unwrap_or_default();
                state.trees.insert(version.commit.clone(), files);
                Ok(())
            })
            .await
    }
}
