use std::fmt;
use std::sync::Arc;

use flow_core::port::{Host, HostPath};
use flow_core::prelude::*;
use flow_core::stage::{Assets, AssetsActivity};

/// Writes a page that names the release, and puts the old one back.
pub struct WritePage {
    /// Where the page stands.
    pub host: Arc<dyn Host>,
    /// The page.
    pub page: HostPath,
    /// What happens between the effect and its record: nothing, unless an example wants to die there.
    pub after: fn(),
}

impl fmt::Debug for WritePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePage").field("page", &self.page).finish_non_exhaustive()
    }
}

#[async_trait]
impl Rollback<Assets> for WritePage {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _: &StepContext<Assets>) -> Result<Captured, StepError> {
        Captured::of(&self.host.read(&self.page).await?)
    }

    async fn roll_back(
        &self,
        _: &StepContext<Assets>,
        permit: &Permit,
        before: &Captured,
        _: &Outcome<Assets>,
    ) -> Result<(), StepError> {
        match before.get::<Option<Vec<u8>>>()? {
            Some(old) => self.host.write(permit, &self.page, &old).await,
            None => self.host.remove(permit, &self.page).await,
        }
    }
}

#[async_trait]
impl Step<Assets> for WritePage {
    fn name(&self) -> Name {
        name!("write-page")
    }

    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Upload]
    }

    async fn preview(&self, cx: &StepContext<Assets>) -> Result<Preview, StepError> {
        let old = self.host.read(&self.page).await?.unwrap_or_default();
        let old = String::from_utf8_lossy(&old).into_owned();
        Ok(Preview::new().change(self.page.as_str(), old, cx.release().as_str()))
    }

    async fn run(
        &self,
        cx: &StepContext<Assets>,
        permit: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Assets>, StepError> {
        self.host.write(permit, &self.page, cx.release().as_str().as_bytes()).await?;
        (self.after)();
        Ok(Receipt::new().evidence(AssetsActivity::Upload, format!("`{}` is durable", self.page)))
    }
}
