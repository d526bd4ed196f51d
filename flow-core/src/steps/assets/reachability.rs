use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};

use super::upload::{some, uploaded};
use crate::context::StepContext;
use crate::error::{Cause, ErrorKind, Problems, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{AssetFile, AssetRank, AssetStore, ProbeReply, ProbeRequest, Prober, asset_order};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Assets, AssetsActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed, leaves_nothing, unless_cancelled};

/// How many files are fetched at once.
const FETCHED_AT_ONCE: usize = 8;
/// How long one file may take.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);

/// Fetches every changed file as a reader does, and compares its content with what the store serves.
///
/// Where nothing changed, every file that the store serves is fetched. Files above 8 MiB are not fetched; the evidence
/// names them.
pub struct CheckReachability {
    heading: Heading,
    store: Arc<dyn AssetStore>,
    prober: Arc<dyn Prober>,
    base_url: String,
    headers: Vec<(AssetRank, String, String)>,
}

headed!(CheckReachability);
leaves_nothing!(CheckReachability: Assets);

impl CheckReachability {
    /// Fetches the files of `store` below `base_url`.
    pub fn new(store: Arc<dyn AssetStore>, prober: Arc<dyn Prober>, base_url: impl Into<String>) -> Self {
        let heading = Heading::within(name!("check-reachability"), Duration::from_mins(30));
        Self { heading, store, prober, base_url: base_url.into(), headers: Vec::new() }
    }

    /// Demands that every fetched file of `rank` comes with a header `name` that contains `value`, such as `immutable` in the
    /// `Cache-Control` of assets whose names hold their hash.
    #[must_use]
    pub fn with_header(mut self, rank: AssetRank, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((rank, name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// What is wrong with the file at `path` as a reader gets it, if anything.
    async fn fetch(&self, path: &str, file: &AssetFile) -> Option<String> {
        let request = ProbeRequest::of_file(&self.base_url, path, FETCHED_WITHIN);
        match self.prober.get(&request).await {
            Err(error) => Some(format!("no answer: {}", Cause::from(&error))),
            Ok(reply) if reply.status != 200 => Some(format!("status {}", reply.status)),
            Ok(reply) if Digest::of(&reply.body) != file.digest => Some("another content".to_owned()),
            Ok(reply) => {
                let (rank, ..) = asset_order(path);
                let mut demanded = self.headers.iter().filter(|(of, ..)| *of == rank);
                let missing = demanded.find(|(_, name, value)| {
                    !reply.headers.get(name).is_some_and(|found| found.contains(value.as_str()))
                });
                missing.map(|(_, name, value)| format!("no `{value}` in the header `{name}`"))
            }
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
        let mut definition = json!({ "site": self.store.resource(), "base_url": self.base_url });
        if let (Some(parts), false) = (definition.as_object_mut(), self.headers.is_empty()) {
            parts.insert("headers".to_owned(), json!(self.headers));
        }
        definition
    }

    async fn preview(&self, _cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        let web = self.base_url.starts_with("http://") || self.base_url.starts_with("https://");
        problems.check(web, "base_url", "must begin with `http://` or `https://`");
        problems.check(!self.base_url.contains(['?', '#']), "base_url", "must have no query and no fragment");
        for (_, name, value) in &self.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            problems.check(!name.is_empty() && name.bytes().all(token), "headers", "a name is no HTTP token");
            problems.check(!value.is_empty(), "headers", "a value is empty: every header contains nothing");
        }
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
            self.files(cx).await?.into_iter().partition(|(_, file)| file.bytes <= ProbeReply::BODY_MAX);
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
