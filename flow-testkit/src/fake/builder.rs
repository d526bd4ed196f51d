use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Builder, Built, SourceVersion};
use flow_core::{Artifact, Digest, ErrorKind, Name, Permit, StepError};

use super::FakeSource;
use crate::ledger::{Change, Ledger};

/// A builder in memory that keeps what it built, as `/releases/<sha256>`.
///
/// What a build gives is [declared](Self::yields). Stricter than production: a tree that is not checked out as its commit has
/// it is not built.
#[derive(Debug, Clone)]
pub struct FakeBuilder {
    source: FakeSource,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    yields: BTreeMap<Name, Vec<u8>>,
    yields_at: BTreeMap<String, BTreeMap<Name, Vec<u8>>>,
    failures: BTreeMap<String, String>,
    kept: BTreeMap<Digest, Vec<u8>>,
    builds: BTreeMap<String, Built>,
    runs: u32,
}

impl FakeBuilder {
    /// A builder of the trees of `source`, in the same ledger, whose builds give nothing yet.
    #[must_use]
    pub fn of(source: &FakeSource) -> Self {
        Self { source: source.clone(), state: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        self.source.ledger()
    }

    /// Makes `artifacts`, each a name and its content, what builds give from now on.
    pub fn yields<C: Into<Vec<u8>>>(&self, artifacts: impl IntoIterator<Item = (Name, C)>) {
        self.state().yields = artifacts.into_iter().map(|(name, content)| (name, content.into())).collect();
    }

    /// Makes `artifacts` what builds of `commit` give from now on.
    pub fn yields_at<C: Into<Vec<u8>>>(
        &self,
        commit: impl Into<String>,
        artifacts: impl IntoIterator<Item = (Name, C)>,
    ) {
        let owned = artifacts.into_iter().map(|(name, content)| (name, content.into())).collect();
        self.state().yields_at.insert(commit.into(), owned);
    }

    /// Lets builds of `commit` fail with this output.
    pub fn fail_at(&self, commit: impl Into<String>, log: impl Into<String>) {
        self.state().failures.insert(commit.into(), log.into());
    }

    /// How often a build ran, whatever its end.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.state().runs
    }

    /// The digests of the artefacts that are kept.
    #[must_use]
    pub fn kept(&self) -> BTreeSet<Digest> {
        self.state().kept.keys().copied().collect()
    }

    /// The content of a kept artefact.
    #[must_use]
    pub fn content(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.state().kept.get(digest).cloned()
    }

    /// Loses a kept artefact behind everybody's back.
    pub fn lose(&self, digest: &Digest) {
        self.state().kept.remove(digest);
    }

    /// The commits that were built and are kept.
    #[must_use]
    pub fn built(&self) -> Vec<String> {
        self.state().builds.keys().cloned().collect()
    }

    /// All that an undo must bring back, as text to compare: builds and artefacts.
    #[must_use]
    pub fn seen(&self) -> String {
        let state = self.state();
        format!("{:#?}\n{:#?}", state.builds, state.kept.keys())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, commit: &str) -> Option<&Built> {
        let built = self.builds.get(commit)?;
        built.artifacts.values().all(|artifact| self.kept.contains_key(&artifact.digest)).then_some(built)
    }

    fn build(&mut self, commit: &str) -> Result<Built, StepError> {
        if let Some(built) = self.find(commit) {
            return Ok(built.clone());
        }
        self.runs += 1;
        if let Some(log) = self.failures.get(commit) {
            return Err(StepError::new(ErrorKind::Failed, "the build failed").fact("output", log));
        }
        let yields = self.yields_at.get(commit).unwrap_or(&self.yields);
        let mut artifacts = BTreeMap::new();
        for (name, content) in yields {
            let digest = Digest::of(content);
            let path = format!("/releases/{}", digest.hex()).into();
            artifacts.insert(name.clone(), Artifact { digest, path });
            self.kept.insert(digest, content.clone());
        }
        let built = Built { artifacts, log: "done".to_owned() };
        self.builds.insert(commit.to_owned(), built.clone());
        Ok(built)
    }

    fn discard(&mut self, commit: &str) {
        let Some(gone) = self.builds.remove(commit) else { return };
        let shared: BTreeSet<Digest> = self.builds.values().flat_map(digests).collect();
        let gone: BTreeSet<Digest> = digests(&gone).collect();
        self.kept.retain(|digest, _| !gone.contains(digest) || shared.contains(digest));
    }
}

fn digests(built: &Built) -> impl Iterator<Item = Digest> {
    built.artifacts.values().map(|artifact| artifact.digest)
}

#[async_trait]
impl Builder for FakeBuilder {
    fn describe(&self) -> Vec<String> {
        vec!["make all".to_owned()]
    }

    async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError> {
        let commit = &version.commit;
        self.ledger().read("builder.find", commit, || Ok(self.state().find(commit).cloned())).await
    }

    async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError> {
        self.ledger()
            .change(Change::new("builder.build", &version.commit, permit), || {
                if !self.source.has(version) {
                    let reason = format!("{} is built without its tree being checked out", version.commit);
                    return Err(self.ledger().refuse_as(ErrorKind::NotFound, reason));
                }
                self.state().build(&version.commit)
            })
            .await
    }

    async fn discard(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        self.ledger()
            .change(Change::new("builder.discard", &version.commit, permit), || {
                self.state().discard(&version.commit);
                Ok(())
            })
            .await
    }
}
