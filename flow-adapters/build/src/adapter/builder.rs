use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Builder, Built, SourceVersion};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use serde_json::Value;

use crate::client::{Call, Ended, Keep, Releases, Runner, Scratch, Tail, blocking, is_directory, name_of};
use crate::config::CommandConfig;
use crate::recipe::Recipe;

/// Commands as the builder of code, and a directory that keeps what they made.
///
/// A build runs in the checked-out tree and fills a fresh directory, `{out}`. Each artefact is then hashed while it is
/// copied, and put at `<releases>/<sha256>/<file name>` in one rename, read-only, durable. A file's digest is the SHA-256
/// of its bytes; a directory's is described in the crate's README. Links, devices and files that run as another user
/// are refused. The same commit under the same definition is found, not built again.
///
/// ```no_run
/// # use std::sync::Arc;
/// use flow_build::{CommandBuilder, CommandConfig};
/// use flow_core::name;
/// use flow_core::port::Builder;
///
/// let config = CommandConfig::new("/srv/releases")
///     .command(["cargo", "build", "--release", "--locked", "--target-dir", "{out}/target"])
///     .env("HOME", "{out}/home")
///     .artifact(name!("shop"), "target/release/shop");
/// let builder = CommandBuilder::new(config, Arc::new(flow_core::SystemClock::new()))?;
/// assert_eq!(builder.describe(), ["cargo build --release --locked --target-dir {out}/target"]);
/// # Ok::<(), flow_core::Problems>(())
/// ```
#[derive(Debug, Clone)]
pub struct CommandBuilder {
    recipe: Recipe,
    runner: Runner,
    releases: Releases,
    timeout: Duration,
}

impl CommandBuilder {
    /// A builder of what `config` describes.
    ///
    /// # Errors
    /// All problems of the configuration at once. Nothing is read yet.
    pub fn new(config: CommandConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        let recipe = Recipe::new(&config)?;
        let CommandConfig { releases, search_path, timeout, limits, .. } = config;
        Ok(Self {
            recipe,
            runner: Runner { clock, search_path },
            releases: Releases { root: releases, limits },
            timeout,
        })
    }

    /// What the build is, for fingerprints: commands, artefacts, search path, and for each environment variable a
    /// digest in place of its value.
    #[must_use]
    pub fn definition(&self) -> Value {
        self.recipe.definition()
    }

    /// Runs the commands one after another within one timeout, and returns the end of their output.
    async fn run(
        &self,
        permit: &Permit,
        scratch: &Scratch,
        tree: &str,
        out: &str,
    ) -> Result<String, StepError> {
        let begun = self.runner.clock.monotonic();
        let mut log = Tail::default();
        for (line, argv) in self.recipe.commands(tree, out) {
            let mut argv = argv.into_iter();
            let spent = self.runner.clock.monotonic().saturating_sub(begun);
            let call = Call {
                program: argv.next().unwrap_or_default(),
                args: argv.collect(),
                env: self.recipe.env(tree, out),
                directory: PathBuf::from(tree),
                keep: Keep::Log,
                timeout: self.timeout.saturating_sub(spent),
                note: Some(scratch.note()),
            };
            let ended = self.runner.run(&call, Some(permit.cancel())).await?;
            if !ended.status.success() {
                return Err(failed(&line, &ended));
            }
            log.add(&ended.log);
        }
        Ok(log.text())
    }

    /// Records what the build made, and keeps it.
    async fn keep(
        &self,
        scratch: Arc<Scratch>,
        commit: Name,
        out: PathBuf,
        log: String,
    ) -> Result<(), StepError> {
        let (releases, recipe) = (self.releases.clone(), self.recipe.clone());
        blocking(move || {
            let mut collected = BTreeMap::new();
            for (name, path) in recipe.artifacts() {
                collected.insert(name.clone(), releases.collect(&scratch, &out, name, path)?);
            }
            // Up to here everything is in the scratch directory, and a failure leaves nothing behind. The record comes first:
            // of a build that is interrupted after it, discarding finds every artefact that stands by then.
            let artifacts = collected.iter().map(|(name, (kept, _))| (name.clone(), kept.clone())).collect();
            releases
                .record(&scratch, &commit, recipe.digest(), artifacts, log)
                .map_err(StepError::after_effect)?;
            collected
                .values()
                .try_for_each(|(kept, copy)| releases.put(&scratch, kept, copy))
                .map_err(StepError::after_effect)
        })
        .await
    }

    async fn scratch(&self) -> Result<Arc<Scratch>, StepError> {
        let root = self.releases.root.clone();
        blocking(move || Scratch::make(&root)).await.map(Arc::new)
    }
}

#[async_trait]
impl Builder for CommandBuilder {
    fn describe(&self) -> Vec<String> {
        self.recipe.describe()
    }

    async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError> {
        let commit = commit_of(version)?;
        let (releases, recipe) = (self.releases.clone(), self.recipe.clone());
        blocking(move || releases.find(&commit, recipe.digest(), recipe.artifacts())).await
    }

    async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError> {
        if let Some(built) = self.find(version).await? {
            return Ok(built);
        }
        let commit = commit_of(version)?;
        if !is_directory(&version.tree) {
            return Err(StepError::new(ErrorKind::NotFound, "the tree is not checked out")
                .fact("tree", version.tree.display()));
        }
        let scratch = self.scratch().await?;
        let out = scratch.make_directory("out-")?;
        let log = self.run(permit, &scratch, name_of(&version.tree)?, name_of(&out)?).await?;
        self.keep(scratch, commit, out, log).await?;
        // Done is what is found afterwards, not what was written.
        let built = self.find(version).await.map_err(StepError::after_effect)?;
        built.ok_or_else(|| {
            StepError::in_doubt("the kept artefacts do not stand whole").fact("commit", &version.commit)
        })
    }

    async fn discard(&self, _permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        let commit = commit_of(version)?;
        let (releases, definition) = (self.releases.clone(), self.recipe.digest());
        blocking(move || releases.discard(&commit, definition)).await
    }
}

/// The commit as part of a file name.
fn commit_of(version: &SourceVersion) -> Result<Name, StepError> {
    Name::new(version.commit.clone()).map_err(|error| {
        StepError::new(ErrorKind::Invalid, "the commit cannot name a file")
            .fact("commit", &version.commit)
            .because(error)
    })
}

fn failed(line: &str, ended: &Ended) -> StepError {
    StepError::new(ErrorKind::Failed, "the build failed")
        .fact("command", line)
        .fact("end", ended.status)
        .fact("output", &ended.log)
}
