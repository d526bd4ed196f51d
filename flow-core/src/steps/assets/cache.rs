use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::upload::uploaded;
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::Cdn;
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Assets, AssetsActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed, leaves_nothing};

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
