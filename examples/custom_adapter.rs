//! An adapter of one's own moves a link; where it led is captured first, so a release whose page is wrong is taken back.
use std::sync::Arc;

use anyhow::{Result, ensure};
use flow_core::port::{Host, HostPath};
use flow_core::prelude::*;
use flow_core::stage::{Assets, AssetsActivity};
use flow_core::{SystemClock, Work, Workflow};
use flow_examples::shop;
use flow_local::host::{HostConfig, LocalHost};

/// A host, and the link on it that users read.
struct SwitchLink(LocalHost, HostPath);

#[async_trait]
impl Rollback<Assets> for SwitchLink {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }
    async fn capture(&self, _: &StepContext<Assets>) -> Result<Captured, StepError> {
        Captured::of(&self.0.read_link(&self.1).await?)
    }
    async fn roll_back(
        &self,
        _: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
        _: &Outcome<Assets>,
    ) -> Result<(), StepError> {
        match before.get::<Option<String>>()? {
            Some(target) => self.0.link(permit, &self.1, &HostPath::new(target)?).await,
            None => self.0.remove(permit, &self.1).await,
        }
    }
}

#[async_trait]
impl Step<Assets> for SwitchLink {
    fn name(&self) -> Name {
        name!("switch-link")
    }
    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Upload]
    }
    async fn preview(&self, cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        Ok(Preview::new().change(self.1.as_str(), "another page", cx.release().as_str()))
    }
    async fn run(
        &self,
        cx: &StepContext<Assets>,
        permit: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        let page = HostPath::new(format!("{}.html", cx.release()))?;
        self.0.link(permit, &self.1, &page).await?;
        // The link is moved: from here on a failure leaves the step in doubt, and what is in doubt is undone.
        let page = self.0.read(&page).await.map_err(StepError::after_effect)?.unwrap_or_default();
        if !String::from_utf8_lossy(&page).contains(cx.release().as_str()) {
            return Err(StepError::in_doubt("the page does not name the release"));
        }
        Ok(Receipt::new().evidence(AssetsActivity::Upload, "the page was read back"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let root = tempfile::tempdir()?;
    let host = LocalHost::open(HostConfig::new(root.path()), Arc::new(SystemClock::new()))?;
    let assets = shop::plain_site(Work::step(SwitchLink(host, HostPath::new("shop.html")?)))?;
    let workflow = Workflow { assets, ..shop::workflow(root.path())? };
    for (release, page, shown) in [("1.0.0", "shop 1.0.0", "1.0.0"), ("1.1.0", "no template", "1.0.0")] {
        std::fs::write(root.path().join(format!("{release}.html")), page)?;
        let completed = shop::deploy(&workflow, &shop::setting(root.path(), release)?).await.is_ok();
        ensure!(completed == (release == shown), "{release} completed: {completed}");
        let shows = std::fs::read_to_string(root.path().join("shop.html"))?;
        ensure!(shows.ends_with(shown), "the site shows `{shows}`");
    }
    Ok(())
}
