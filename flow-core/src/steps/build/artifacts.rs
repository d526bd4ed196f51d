use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::source::resolve;
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{Builder, Built, Source, SourceVersion};
use crate::receipt::{BuildFacts, Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Build, BuildActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};

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
        let how = if before.found.is_empty() { "built" } else { "found as an earlier build left them" };
        let summary = format!("{} artefacts of {}, {how}", built.artifacts.len(), version.commit);
        let evidence = Evidence::new(BuildActivity::BuildScripts, summary)
            .value("commit", version.commit.as_str())
            .value("artifacts", json!(built.artifacts))
            .value("commands", self.builder.describe())
            .value("log", built.log.as_str());
        let facts = BuildFacts {
            commit: Some(version.commit.clone()),
            artifacts: built.artifacts,
            ..BuildFacts::default()
        };
        Ok(Receipt::new().observed(evidence).facts(facts))
    }
}
