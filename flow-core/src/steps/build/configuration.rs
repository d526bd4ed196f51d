use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::StepError;
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::ConfigurationStore;
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Build, BuildActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};
use crate::steps::replacement::{OldContent, replace};

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
