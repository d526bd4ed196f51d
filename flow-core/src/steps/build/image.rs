use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::source::resolve;
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{ImageRegistry, Source};
use crate::receipt::{BuildFacts, Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Build, BuildActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};
use crate::steps::template::fill;

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
                .value("reference", reference.clone())
                .value("digest", json!(digest));
        // What this run tests is this very image: a later environment asks for it by digest.
        let facts = BuildFacts { images: [(reference, digest)].into(), ..BuildFacts::default() };
        Ok(Receipt::new().observed(evidence).facts(facts))
    }
}
