use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{AssetFile, AssetStore, Cdn, Manifest};
use crate::receipt::{AssetsFacts, Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Assets, AssetsActivity, StageName};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};

/// How many paths a message names.
const NAMED_MAX: usize = 10;
/// The stable fact of a preview that pins a directory's content.
const FILES: &str = "files";

/// Where a site's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteFiles {
    /// A directory that stands there before the run.
    Directory(PathBuf),
    /// The artefact of this name, which stage 2 built.
    Artifact(Name),
}

impl SiteFiles {
    fn directory(&self, cx: &StepContext<Assets>) -> Result<PathBuf, StepError> {
        match self {
            Self::Directory(path) => Ok(path.clone()),
            Self::Artifact(name) => Ok(cx.artifact(name)?.path),
        }
    }
}

/// The paths of `files` that `before` does not have, or has with another content.
fn changed(files: &Manifest, before: &Manifest) -> Vec<String> {
    let differs = |(path, file): &(&String, &AssetFile)| before.get(*path) != Some(file);
    files.iter().filter(differs).map(|(path, _)| path.clone()).collect()
}

/// One digest over all paths and contents.
fn digest(manifest: &Manifest) -> Digest {
    Digest::of(json!(manifest).to_string().as_bytes())
}

fn describe(manifest: &Manifest) -> String {
    format!("{} files, {}", manifest.len(), digest(manifest))
}

/// Puts the site's files in force.
pub struct UploadAssets {
    heading: Heading,
    store: Arc<dyn AssetStore>,
    files: SiteFiles,
    cdn: Option<Arc<dyn Cdn>>,
}

headed!(UploadAssets);

impl UploadAssets {
    /// Puts `files` into `store`. One attempt may take half an hour.
    pub fn new(store: Arc<dyn AssetStore>, files: SiteFiles) -> Self {
        let heading = Heading::within(name!("upload-assets"), Duration::from_mins(30));
        Self { heading, store, files, cdn: None }
    }

    /// Lets undo purge `cdn` after the old files are back. A later step's undo runs before this one's, so without this
    /// the cache could fill with the new files once more.
    #[must_use]
    pub fn behind(mut self, cdn: Arc<dyn Cdn>) -> Self {
        self.cdn = Some(cdn);
        self
    }

    /// Refuses a directory that is no longer the one of the plan: production asked for evidence of that one.
    fn as_planned(&self, cx: &StepContext<Assets>, files: &Manifest) -> Result<(), StepError> {
        let item = cx.plan().and_then(|plan| plan.item(StageName::Assets, &self.heading.name));
        let planned = item.and_then(|item| item.preview.stable.get(FILES));
        if planned.is_none_or(|planned| *planned == json!(digest(files))) {
            return Ok(());
        }
        Err(StepError::new(ErrorKind::Conflict, "the site's files are not those of the plan")
            .fact("found", digest(files)))
    }

    /// What a cache may have of this run: known of a finished upload, and everything that may be of an interrupted one.
    async fn touched(
        &self,
        cx: &StepContext<Assets>,
        before: &Manifest,
        outcome: &Outcome<Assets>,
    ) -> Result<Vec<String>, StepError> {
        if let Outcome::Finished(receipt) = outcome {
            return Ok(receipt.facts.changed.clone());
        }
        let mut paths: BTreeSet<String> = changed(&self.store.serving().await?, before).into_iter().collect();
        let uploaded = match self.files.directory(cx) {
            Ok(directory) => self.store.read(&directory).await.ok(),
            Err(_) => None,
        };
        match uploaded {
            Some(uploaded) => paths.extend(changed(&uploaded, before)),
            None => paths.extend(before.keys().cloned()),
        }
        Ok(paths.into_iter().collect())
    }
}

#[async_trait]
impl Rollback<Assets> for UploadAssets {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _cx: &StepContext<Assets>) -> Result<Captured, StepError> {
        Captured::of(&self.store.serving().await?)
    }

    async fn roll_back(
        &self,
        cx: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
        outcome: &Outcome<Assets>,
    ) -> Result<(), StepError> {
        let before: Manifest = before.get()?;
        let touched = self.touched(cx, &before, outcome).await?;
        self.store.restore(permit, &before).await?;
        let now = self.store.serving().await.map_err(StepError::after_effect)?;
        if now != before {
            return Err(StepError::in_doubt("the site does not serve what it served before")
                .fact("before", describe(&before))
                .fact("now", describe(&now)));
        }
        match &self.cdn {
            Some(cdn) if !touched.is_empty() => cdn.purge(permit, &touched).await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Step<Assets> for UploadAssets {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Upload]
    }

    fn definition(&self) -> Value {
        json!({ "site": self.store.resource(), "files": self.files })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.store.resource()]
    }

    async fn preview(&self, _cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        let serving = self.store.serving().await?;
        let what = format!("site `{}`", self.store.resource());
        let preview = Preview::new().stable("serving", json!(digest(&serving)));
        match &self.files {
            SiteFiles::Artifact(name) => {
                let preview = preview.change(what, describe(&serving), format!("the artefact `{name}`"));
                Ok(preview.unknown("which files change: they are built in stage 2"))
            }
            SiteFiles::Directory(directory) => {
                let files = self.store.read(directory).await?;
                let preview = preview.stable(FILES, json!(digest(&files))).deploys(digest(&files));
                let changed = changed(&files, &serving).len();
                if changed == 0 {
                    return Ok(preview);
                }
                Ok(preview.change(what, describe(&serving), format!("{changed} files new or changed")))
            }
        }
    }

    async fn run(
        &self,
        cx: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        let before: Manifest = before.get()?;
        let directory = self.files.directory(cx)?;
        let files = self.store.read(&directory).await?;
        if files.is_empty() {
            return Err(StepError::new(ErrorKind::Invalid, "the site has no files")
                .fact("directory", directory.display()));
        }
        self.as_planned(cx, &files)?;
        if !changed(&files, &self.store.serving().await?).is_empty() {
            cx.progress().say("uploading");
            self.store.put(permit, &directory, &files).await?;
        }
        let missing = changed(&files, &self.store.serving().await.map_err(StepError::after_effect)?);
        if !missing.is_empty() {
            return Err(StepError::in_doubt("the store does not serve what was put there")
                .fact("paths", some(&missing)));
        }
        let changed = changed(&files, &before);
        let bytes: u64 = files.values().map(|file| file.bytes).sum();
        let summary = format!("{} files are served, {} of them new or changed", files.len(), changed.len());
        let evidence = Evidence::new(AssetsActivity::Upload, summary)
            .value("files", files.len())
            .value("bytes", bytes)
            .value("changed", changed.clone())
            .value("manifest", json!(digest(&files)));
        Ok(Receipt::new().observed(evidence).facts(AssetsFacts { changed }))
    }
}

/// The first of `paths`, and how many more there are.
pub(super) fn some(paths: &[String]) -> String {
    let named = paths.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(NAMED_MAX);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// The paths that the uploads before this step changed.
pub(super) fn uploaded(cx: &StepContext<Assets>) -> Result<Vec<String>, StepError> {
    let earlier = cx.earlier()?;
    let paths: BTreeSet<&String> = earlier.values().flat_map(|receipt| &receipt.facts.changed).collect();
    Ok(paths.into_iter().cloned().collect())
}
