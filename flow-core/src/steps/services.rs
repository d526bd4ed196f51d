//! Stage 5: what services need beside their rollouts, which the engine drives itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::heading::{Heading, headed};
use crate::context::StepContext;
use crate::error::{Problems, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{Command, Host};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Services, ServicesActivity};
use crate::step::{Preview, Step};

/// What a command may take beyond its own timeout before the step is given up: the host ends it first.
const GRACE: Duration = Duration::from_secs(30);

/// Installs the packages that the services need, such as `npm ci` in the new release's directory.
pub struct InstallDependencies {
    heading: Heading,
    host: Arc<dyn Host>,
    install: Command,
    check: Option<Command>,
    undo: Option<Command>,
}

headed!(InstallDependencies);

impl InstallDependencies {
    /// Runs `install` on `host`. It must be safe to repeat. One attempt may take the command's own timeout and a little
    /// more, with those of the commands added later.
    pub fn new(host: Arc<dyn Host>, install: Command) -> Self {
        let heading = Heading::within(name!("install-dependencies"), install.timeout.saturating_add(GRACE));
        Self { heading, host, install, check: None, undo: None }
    }

    /// Proves the installation by a command that changes nothing, such as `npm ls`, and must end with 0.
    #[must_use]
    pub fn checked_by(mut self, check: Command) -> Self {
        self.heading.deadline = self.heading.deadline.saturating_add(check.timeout);
        self.check = Some(check);
        self
    }

    /// Undoes the installation by a command. It must be safe to repeat, also after an installation that broke half-way.
    #[must_use]
    pub fn undone_by(mut self, undo: Command) -> Self {
        self.heading.deadline = self.heading.deadline.max(undo.timeout.saturating_add(GRACE));
        self.undo = Some(undo);
        self
    }
}

#[async_trait]
impl Rollback<Services> for InstallDependencies {
    fn reversibility(&self) -> Reversibility {
        let how = match &self.undo {
            Some(undo) => format!("`{undo}` is run"),
            None => "what was installed stays, and nothing uses it once the old version serves".to_owned(),
        };
        Reversibility::Compensate { how }
    }

    async fn capture(&self, _cx: &StepContext<Services>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Services>,
        permit: &Permit,
        _before: &Captured,
        _outcome: &Outcome<Services>,
    ) -> Result<(), StepError> {
        let Some(undo) = &self.undo else { return Ok(()) };
        self.host.run(permit, undo).await?.demand(undo)
    }
}

#[async_trait]
impl Step<Services> for InstallDependencies {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<ServicesActivity> {
        vec![ServicesActivity::InstallDependencies]
    }

    fn definition(&self) -> Value {
        json!({
            "install": self.install.definition(),
            "check": self.check.as_ref().map(Command::definition),
            "undo": self.undo.as_ref().map(Command::definition),
        })
    }

    async fn preview(&self, _cx: &StepContext<Services>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        let commands =
            [("install", Some(&self.install)), ("check", self.check.as_ref()), ("undo", self.undo.as_ref())];
        for (field, command) in commands {
            let Some(command) = command else { continue };
            command.check(field, &mut problems);
        }
        problems.into_result()?;
        let scripts = commands.iter().filter_map(|(_, command)| *command).map(Command::script);
        Ok(scripts
            .fold(Preview::new(), Preview::script)
            .change("dependencies", "as they are", format!("after `{}`", self.install))
            .unknown("which packages change: the command decides"))
    }

    async fn run(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Services>, StepError> {
        cx.progress().say("installing dependencies");
        self.host.run(permit, &self.install).await?.demand(&self.install)?;
        let summary = match &self.check {
            None => format!("`{}` ended with 0", self.install),
            Some(check) => {
                self.host.query(check).await.map_err(StepError::after_effect)?.demand(check)?;
                format!("`{}` and then `{check}` ended with 0", self.install)
            }
        };
        let evidence = Evidence::new(ServicesActivity::InstallDependencies, summary)
            .value("command", self.install.to_string())
            .value("code", 0);
        Ok(Receipt::new().observed(evidence))
    }
}
