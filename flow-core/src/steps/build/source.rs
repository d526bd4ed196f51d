use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::StepError;
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{Source, SourceRequest, SourceVersion};
use crate::receipt::{BuildFacts, Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Build, BuildActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed, leaves_nothing};
use crate::steps::template::fill;

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

/// The version of the code that the template `tag` names in this run.
pub(super) async fn resolve(
    source: &dyn Source,
    tag: &str,
    cx: &StepContext<Build>,
) -> Result<SourceVersion, StepError> {
    source.resolve(&SourceRequest { tag: fill(tag, cx)? }).await
}
