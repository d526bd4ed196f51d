//! Stage 4: the site's files, the cache in front of them, the domain, what readers get.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::artifact::built;
use super::heading::{Heading, headed, leaves_nothing, unless_cancelled};
use crate::context::StepContext;
use crate::error::{Cause, ErrorKind, Problems, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{AssetFile, AssetStore, Cdn, Manifest, ProbeRequest, Prober};
use crate::receipt::{AssetsFacts, Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Assets, AssetsActivity};
use crate::step::{Preview, Step};
use crate::work::Work;

/// The largest body that a probe gives: a larger file is not fetched.
const FETCHED_MAX: u64 = 8 << 20;
/// How many files are fetched at once.
const FETCHED_AT_ONCE: usize = 8;
/// How long one file may take.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);
/// How many files a message names.
const NAMED_MAX: usize = 10;

/// The whole stage for one site that readers reach under `base_url`: upload, purge, domain, reachability.
pub fn site(
    store: Arc<dyn AssetStore>,
    cdn: Arc<dyn Cdn>,
    prober: Arc<dyn Prober>,
    files: SiteFiles,
    base_url: impl Into<String>,
) -> Work<Assets> {
    Work::step(UploadAssets::new(store.clone(), files).behind(cdn.clone()))
        .then(PurgeCache::new(cdn.clone()))
        .then(CheckDomain::new(cdn))
        .then(CheckReachability::new(store, prober, base_url))
}

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
            Self::Artifact(name) => Ok(built(cx, name)?.path),
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
                let preview = preview.stable("files", json!(digest(&files)));
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
fn some(paths: &[String]) -> String {
    let named = paths.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(NAMED_MAX);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// The paths that the uploads before this step changed.
fn uploaded(cx: &StepContext<Assets>) -> Result<Vec<String>, StepError> {
    let earlier = cx.earlier()?;
    let paths: BTreeSet<&String> = earlier.values().flat_map(|receipt| &receipt.facts.changed).collect();
    Ok(paths.into_iter().cloned().collect())
}

/// Makes the cache forget what the uploads before this step changed.
pub struct PurgeCache {
    heading: Heading,
    cdn: Arc<dyn Cdn>,
}

headed!(PurgeCache);

impl PurgeCache {
    /// Purges `cdn`.
    pub fn new(cdn: Arc<dyn Cdn>) -> Self {
        Self { heading: Heading::new(name!("purge-cache")), cdn }
    }
}

#[async_trait]
impl Rollback<Assets> for PurgeCache {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Compensate { how: "the same paths are purged again".to_owned() }
    }

    async fn capture(&self, cx: &StepContext<Assets>) -> Result<Captured, StepError> {
        Captured::of(&uploaded(cx)?)
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Assets>,
    ) -> Result<(), StepError> {
        let paths: Vec<String> = before.get()?;
        if paths.is_empty() { Ok(()) } else { self.cdn.purge(permit, &paths).await }
    }
}

#[async_trait]
impl Step<Assets> for PurgeCache {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::CachePurge]
    }

    async fn preview(&self, _cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        Ok(Preview::new().unknown("which paths are purged: those that the upload changes"))
    }

    async fn run(
        &self,
        _cx: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        let paths: Vec<String> = before.get()?;
        let summary = if paths.is_empty() {
            "no file changed, so the cache has nothing to forget".to_owned()
        } else {
            self.cdn.purge(permit, &paths).await?;
            format!("the cache has forgotten {} paths", paths.len())
        };
        Ok(Receipt::new().observed(Evidence::new(AssetsActivity::CachePurge, summary).value("paths", paths)))
    }
}

/// Checks the site's domain: name resolution, certificate, origin.
pub struct CheckDomain {
    heading: Heading,
    cdn: Arc<dyn Cdn>,
}

headed!(CheckDomain);
leaves_nothing!(CheckDomain: Assets);

impl CheckDomain {
    /// Checks the domain of `cdn`.
    pub fn new(cdn: Arc<dyn Cdn>) -> Self {
        Self { heading: Heading::new(name!("check-domain")), cdn }
    }
}

#[async_trait]
impl Step<Assets> for CheckDomain {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Domain]
    }

    /// Does not look: what a domain answers today is no promise for the day of the run.
    async fn preview(&self, _cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        Ok(Preview::new().unknown("whether the domain is as it must be: looked at during the run"))
    }

    async fn run(
        &self,
        _cx: &StepContext<Assets>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        let report = self.cdn.domain().await?;
        if !report.holds {
            return Err(StepError::new(ErrorKind::Failed, "the domain is not as it must be")
                .fact("domain", report.domain)
                .fact("found", report.found));
        }
        let evidence =
            Evidence::new(AssetsActivity::Domain, format!("`{}`: {}", report.domain, report.found))
                .value("domain", report.domain);
        Ok(Receipt::new().observed(evidence))
    }
}

/// Fetches every changed file as a reader does, and compares its content with what the store serves.
///
/// Where nothing changed, every file that the store serves is fetched. Files above 8 MiB are not fetched; the evidence
/// names them.
pub struct CheckReachability {
    heading: Heading,
    store: Arc<dyn AssetStore>,
    prober: Arc<dyn Prober>,
    base_url: String,
}

headed!(CheckReachability);
leaves_nothing!(CheckReachability: Assets);

impl CheckReachability {
    /// Fetches the files of `store` below `base_url`.
    pub fn new(store: Arc<dyn AssetStore>, prober: Arc<dyn Prober>, base_url: impl Into<String>) -> Self {
        let heading = Heading::within(name!("check-reachability"), Duration::from_mins(30));
        Self { heading, store, prober, base_url: base_url.into() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.base_url.trim_end_matches('/'), encoded(path))
    }

    /// What is wrong with the file at `path` as a reader gets it, if anything.
    async fn fetch(&self, path: &str, file: &AssetFile) -> Option<String> {
        let request = ProbeRequest { url: self.url(path), timeout: FETCHED_WITHIN };
        match self.prober.get(&request).await {
            Err(error) => Some(format!("no answer: {}", Cause::from(&error))),
            Ok(reply) if reply.status != 200 => Some(format!("status {}", reply.status)),
            Ok(reply) if Digest::of(&reply.body) != file.digest => Some("another content".to_owned()),
            Ok(_) => None,
        }
    }

    /// The files to fetch, as the store serves them.
    async fn files(&self, cx: &StepContext<Assets>) -> Result<Vec<(String, AssetFile)>, StepError> {
        let serving = self.store.serving().await?;
        let changed = uploaded(cx)?;
        if changed.is_empty() {
            return Ok(serving.into_iter().collect());
        }
        let missing = |path: &str| {
            StepError::new(ErrorKind::Failed, "an uploaded file is no longer served").fact("path", path)
        };
        let find = |path: String| {
            let file = serving.get(&path).cloned().ok_or_else(|| missing(&path))?;
            Ok((path, file))
        };
        changed.into_iter().map(find).collect()
    }
}

/// A path as it stands in a URL: everything but unreserved characters and slashes is percent-encoded (RFC 3986).
fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::with_capacity(path.len()), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

#[async_trait]
impl Step<Assets> for CheckReachability {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Reachability]
    }

    fn definition(&self) -> Value {
        json!({ "site": self.store.resource(), "base_url": self.base_url })
    }

    async fn preview(&self, _cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        let web = self.base_url.starts_with("http://") || self.base_url.starts_with("https://");
        problems.check(web, "base_url", "must begin with `http://` or `https://`");
        problems.check(!self.base_url.contains(['?', '#']), "base_url", "must have no query and no fragment");
        problems.into_result()?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Assets>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        let (files, too_large): (Vec<_>, Vec<_>) =
            self.files(cx).await?.into_iter().partition(|(_, file)| file.bytes <= FETCHED_MAX);
        let too_large: Vec<String> = too_large.into_iter().map(|(path, _)| path).collect();
        if files.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "there is no file to fetch")
                .fact("too_large", some(&too_large)));
        }
        let mut wrong = Vec::new();
        for batch in files.chunks(FETCHED_AT_ONCE) {
            unless_cancelled(permit)?;
            let fetched = join_all(batch.iter().map(|(path, file)| self.fetch(path, file))).await;
            let problems =
                batch.iter().zip(fetched).filter_map(|((path, _), problem)| Some((path, problem?)));
            wrong.extend(problems.map(|(path, problem)| format!("{path}: {problem}")));
        }
        if !wrong.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "readers do not get what was uploaded")
                .fact("files", some(&wrong)));
        }
        let summary =
            format!("{} files were fetched below {} with their own content", files.len(), self.base_url);
        let evidence = Evidence::new(AssetsActivity::Reachability, summary)
            .value("fetched", files.len())
            .value("too_large", too_large);
        Ok(Receipt::new().observed(evidence))
    }
}
