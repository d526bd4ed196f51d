//! Stage 2: the code's version, the artefacts, the configuration, the image.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::heading::{Heading, headed, leaves_nothing};
use super::replacement::{OldContent, replace};
use super::template::fill;
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{Builder, Built, ConfigurationStore, ImageRegistry, Source, SourceRequest, SourceVersion};
use crate::receipt::{BuildFacts, Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Build, BuildActivity};
use crate::step::{Preview, Step};

/// Finds the commit that the release's tag points to, in a clean tree.
///
/// The commit is part of the plan's hash: a tag that moves after the approval is refused.
pub struct VerifySource {
    heading: Heading,
    source: Arc<dyn Source>,
    tag: String,
}

headed!(VerifySource);
leaves_nothing!(VerifySource: Build);

impl VerifySource {
    /// Asks `source` for the tag that `tag` gives, such as `v{release}`.
    pub fn new(source: Arc<dyn Source>, tag: impl Into<String>) -> Self {
        Self { heading: Heading::new(name!("verify-source")), source, tag: tag.into() }
    }
}

async fn resolve(
    source: &dyn Source,
    tag: &str,
    cx: &StepContext<Build>,
) -> Result<SourceVersion, StepError> {
    source.resolve(&SourceRequest { tag: fill(tag, cx)? }).await
}

#[async_trait]
impl Step<Build> for VerifySource {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<BuildActivity> {
        vec![BuildActivity::CodeVersion]
    }

    fn definition(&self) -> Value {
        json!({ "tag": self.tag })
    }

    async fn preview(&self, cx: &StepContext<Build>) -> Result<Preview, StepError> {
        let version = resolve(&*self.source, &self.tag, cx).await?;
        Ok(Preview::new().stable("tag", version.tag).stable("commit", version.commit))
    }

    async fn run(
        &self,
        cx: &StepContext<Build>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        let version = resolve(&*self.source, &self.tag, cx).await?;
        let summary =
            format!("the tag `{}` points to {}, and the tree is clean", version.tag, version.commit);
        let evidence = Evidence::new(BuildActivity::CodeVersion, summary)
            .value("tag", version.tag)
            .value("commit", version.commit.as_str());
        let facts = BuildFacts { commit: Some(version.commit), ..BuildFacts::default() };
        Ok(Receipt::new().observed(evidence).facts(facts))
    }
}

/// Builds the release's artefacts, or takes those that an earlier build of the same commit left.
///
/// Build once, promote: where the plan names digests, a build that gives another one is a
/// [`Conflict`](ErrorKind::Conflict); what it left is discarded at once. The checked-out tree stays: it is the
/// commit's own, and is checked before it is used again.
pub struct BuildArtifacts {
    heading: Heading,
    source: Arc<dyn Source>,
    builder: Arc<dyn Builder>,
    tag: String,
    spared: BTreeSet<Digest>,
}

/// What was there before the build.
#[derive(Serialize, Deserialize)]
struct BeforeBuild {
    version: SourceVersion,
    found: BTreeSet<Digest>,
}

headed!(BuildArtifacts);

impl BuildArtifacts {
    /// Builds the tree of the tag that `tag` gives, such as `v{release}`. One attempt may take an hour.
    pub fn new(source: Arc<dyn Source>, builder: Arc<dyn Builder>, tag: impl Into<String>) -> Self {
        let heading = Heading::within(name!("build-artifacts"), Duration::from_hours(1));
        Self { heading, source, builder, tag: tag.into(), spared: BTreeSet::new() }
    }

    /// Never discards these digests: what other releases run. A build that is the same byte for byte as an earlier
    /// release's has the same digest.
    #[must_use]
    pub fn sparing(mut self, digests: impl IntoIterator<Item = Digest>) -> Self {
        self.spared.extend(digests);
        self
    }

    /// The digests of `built` that this run brought and that nobody else needs.
    fn fresh(&self, built: &Built, before: &BeforeBuild) -> Vec<Digest> {
        let digests: BTreeSet<Digest> = digests(built).collect();
        let kept = |digest: &&Digest| before.found.contains(digest) || self.spared.contains(digest);
        digests.iter().filter(|digest| !kept(digest)).copied().collect()
    }

    async fn discard_fresh(
        &self,
        permit: &Permit,
        built: &Built,
        before: &BeforeBuild,
    ) -> Result<(), StepError> {
        let fresh = self.fresh(built, before);
        if fresh.is_empty() { Ok(()) } else { self.builder.discard(permit, &fresh).await }
    }

    async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError> {
        self.source.check_out(permit, version).await?;
        let built = self.builder.build(permit, version).await?;
        // Done is what is found afterwards.
        match self.builder.find(version).await.map_err(StepError::after_effect)? {
            Some(found) if found.artifacts == built.artifacts => Ok(built),
            _ => {
                Err(StepError::in_doubt("what was built does not stand whole")
                    .fact("commit", &version.commit))
            }
        }
    }
}

fn digests(built: &Built) -> impl Iterator<Item = Digest> {
    built.artifacts.values().map(|artifact| artifact.digest)
}

/// Refuses artefacts that the plan does not name.
fn promoted(cx: &StepContext<Build>, built: &Built) -> Result<(), StepError> {
    let stranger = |digest: &Digest| !cx.artifacts().is_empty() && !cx.artifacts().contains(digest);
    let mut strangers = built.artifacts.iter().filter(|(_, artifact)| stranger(&artifact.digest)).peekable();
    if strangers.peek().is_none() {
        return Ok(());
    }
    let refused =
        StepError::new(ErrorKind::Conflict, "the build gives an artefact that the plan does not name");
    Err(strangers.fold(refused, |error, (name, artifact)| error.fact(name.to_string(), artifact.digest)))
}

#[async_trait]
impl Rollback<Build> for BuildArtifacts {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, cx: &StepContext<Build>) -> Result<Captured, StepError> {
        let version = resolve(&*self.source, &self.tag, cx).await?;
        let found = self.builder.find(&version).await?;
        Captured::of(&BeforeBuild { version, found: found.iter().flat_map(digests).collect() })
    }

    /// Removes the artefacts that this run brought. Those of an interrupted build are the ones that stand by now.
    async fn roll_back(
        &self,
        _cx: &StepContext<Build>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Build>,
    ) -> Result<(), StepError> {
        let before: BeforeBuild = before.get()?;
        match self.builder.find(&before.version).await? {
            None => Ok(()),
            Some(built) => self.discard_fresh(permit, &built, &before).await,
        }
    }
}

#[async_trait]
impl Step<Build> for BuildArtifacts {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<BuildActivity> {
        vec![BuildActivity::BuildScripts]
    }

    fn definition(&self) -> Value {
        json!({ "tag": self.tag, "build": self.builder.describe() })
    }

    async fn preview(&self, cx: &StepContext<Build>) -> Result<Preview, StepError> {
        let version = resolve(&*self.source, &self.tag, cx).await?;
        let preview = Preview::new().stable("commit", version.commit.as_str());
        match self.builder.find(&version).await? {
            Some(built) => {
                promoted(cx, &built)?;
                Ok(preview.stable("artifacts", json!(built.artifacts)))
            }
            None => Ok(preview
                .change("artefacts", "not built", self.builder.describe().join("; "))
                .unknown("the digests of the artefacts: they are not built yet")),
        }
    }

    async fn run(
        &self,
        cx: &StepContext<Build>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        let before: BeforeBuild = before.get()?;
        let version = &before.version;
        let built = match self.builder.find(version).await? {
            Some(built) => built,
            None => {
                cx.progress().say("building");
                self.build(permit, version).await?
            }
        };
        if let Err(refused) = promoted(cx, &built) {
            self.discard_fresh(permit, &built, &before).await.map_err(StepError::after_effect)?;
            return Err(refused);
        }
        if built.artifacts.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "the build gives no artefact"));
        }
        let how = if self.fresh(&built, &before).is_empty() {
            "found as an earlier build left them"
        } else {
            "built"
        };
        let summary = format!("{} artefacts of {}, {how}", built.artifacts.len(), version.commit);
        let evidence = Evidence::new(BuildActivity::BuildScripts, summary)
            .value("commit", version.commit.as_str())
            .value("artifacts", json!(built.artifacts))
            .value("commands", self.builder.describe())
            .value("log", built.log.as_str());
        let facts = BuildFacts { commit: Some(version.commit.clone()), artifacts: built.artifacts };
        Ok(Receipt::new().observed(evidence).facts(facts))
    }
}

/// Puts the environment's configuration in place. The old one is sealed, since it may hold secrets.
pub struct WriteConfiguration {
    heading: Heading,
    store: Arc<dyn ConfigurationStore>,
    configuration: Name,
    content: Vec<u8>,
}

headed!(WriteConfiguration);

impl WriteConfiguration {
    /// Puts `content` under the name `configuration`. It may hold secrets: it is shown as a digest only.
    pub fn new(store: Arc<dyn ConfigurationStore>, configuration: Name, content: impl Into<Vec<u8>>) -> Self {
        let heading = Heading::new(name!("write-configuration"));
        Self { heading, store, configuration, content: content.into() }
    }
}

#[async_trait]
impl Rollback<Build> for WriteConfiguration {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _cx: &StepContext<Build>) -> Result<Captured, StepError> {
        let old = OldContent::read(&*self.store, &self.configuration).await?;
        Captured::of(&old.describe())?.sealed(&old)
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Build>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Build>,
    ) -> Result<(), StepError> {
        let old: OldContent = before.get_sealed()?;
        old.restore(&*self.store, permit, &self.configuration).await
    }
}

#[async_trait]
impl Step<Build> for WriteConfiguration {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<BuildActivity> {
        vec![BuildActivity::Configuration]
    }

    fn definition(&self) -> Value {
        json!({ "configuration": self.configuration, "content": Digest::of(&self.content) })
    }

    fn seals(&self) -> bool {
        true
    }

    async fn preview(&self, _cx: &StepContext<Build>) -> Result<Preview, StepError> {
        let old = OldContent::read(&*self.store, &self.configuration).await?;
        let preview = Preview::new().stable("configuration", old.describe());
        if old.is(&self.content) {
            return Ok(preview);
        }
        let what = format!("configuration `{}`", self.configuration);
        Ok(preview.change(what, old.describe(), Digest::of(&self.content).to_string()))
    }

    async fn run(
        &self,
        _cx: &StepContext<Build>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        replace(&*self.store, permit, &self.configuration, Some(self.content.clone())).await?;
        let digest = Digest::of(&self.content).to_string();
        let summary = format!("the configuration `{}` reads back as {digest}", self.configuration);
        let evidence = Evidence::new(BuildActivity::Configuration, summary)
            .value("configuration", json!(self.configuration))
            .value("before", before.get::<String>()?)
            .value("now", digest);
        Ok(Receipt::new().observed(evidence))
    }
}

/// Builds the release's container image and pushes it, unless the registry has it already.
///
/// A reference is pushed once and never overwritten. Where the plan names digests, the image's is among them.
pub struct PushImage {
    heading: Heading,
    registry: Arc<dyn ImageRegistry>,
    source: Arc<dyn Source>,
    tag: String,
    reference: String,
}

headed!(PushImage);

impl PushImage {
    /// Pushes the image of the tag that `tag` gives, such as `v{release}`, as `reference`, such as
    /// `registry.example/{application}:{release}`. One attempt may take an hour.
    pub fn new(
        registry: Arc<dyn ImageRegistry>,
        source: Arc<dyn Source>,
        tag: impl Into<String>,
        reference: impl Into<String>,
    ) -> Self {
        let heading = Heading::within(name!("push-image"), Duration::from_hours(1));
        Self { heading, registry, source, tag: tag.into(), reference: reference.into() }
    }
}

/// Refuses an image that the plan does not name.
fn named(cx: &StepContext<Build>, reference: &str, digest: Digest) -> Result<(), StepError> {
    if cx.artifacts().is_empty() || cx.artifacts().contains(&digest) {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "the plan does not name this image")
        .fact("reference", reference)
        .fact("digest", digest))
}

#[async_trait]
impl Rollback<Build> for PushImage {
    fn reversibility(&self) -> Reversibility {
        let how = "the image stays in the registry under its own reference, which no other release uses";
        Reversibility::Compensate { how: how.to_owned() }
    }

    async fn capture(&self, cx: &StepContext<Build>) -> Result<Captured, StepError> {
        Captured::of(&self.registry.find(&fill(&self.reference, cx)?).await?)
    }

    /// Changes nothing: a reference is never overwritten, so nothing that was there is gone.
    async fn roll_back(
        &self,
        _cx: &StepContext<Build>,
        _permit: &Permit,
        _before: &Captured,
        _outcome: &Outcome<Build>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Build> for PushImage {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<BuildActivity> {
        vec![BuildActivity::Image]
    }

    fn definition(&self) -> Value {
        json!({ "tag": self.tag, "reference": self.reference })
    }

    async fn preview(&self, cx: &StepContext<Build>) -> Result<Preview, StepError> {
        let reference = fill(&self.reference, cx)?;
        match self.registry.find(&reference).await? {
            Some(digest) => {
                named(cx, &reference, digest)?;
                Ok(Preview::new().stable("image", json!(digest)))
            }
            None => {
                let version = resolve(&*self.source, &self.tag, cx).await?;
                Ok(Preview::new()
                    .change(
                        format!("image `{reference}`"),
                        "absent",
                        format!("built from {}", version.commit),
                    )
                    .unknown("the digest of the image: it is not built yet"))
            }
        }
    }

    async fn run(
        &self,
        cx: &StepContext<Build>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        let reference = fill(&self.reference, cx)?;
        let digest = match self.registry.find(&reference).await? {
            Some(digest) => {
                named(cx, &reference, digest)?;
                digest
            }
            None => {
                let version = resolve(&*self.source, &self.tag, cx).await?;
                self.source.check_out(permit, &version).await?;
                let pushed = self.registry.push(permit, &version, &reference).await?;
                let seen = self.registry.find(&reference).await.map_err(StepError::after_effect)?;
                if seen != Some(pushed) {
                    return Err(StepError::in_doubt("the registry does not have the pushed image")
                        .fact("reference", reference));
                }
                named(cx, &reference, pushed).map_err(StepError::after_effect)?;
                pushed
            }
        };
        let evidence =
            Evidence::new(BuildActivity::Image, format!("the registry has `{reference}` as {digest}"))
                .value("reference", reference)
                .value("digest", json!(digest));
        Ok(Receipt::new().observed(evidence))
    }
}
