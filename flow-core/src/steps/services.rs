//! Stage 5: what services need beside their rollouts, which the engine drives itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::heading::{Heading, headed};
use crate::context::StepContext;
use crate::error::{Problems, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{Command, CommandOutput, Host};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Services, ServicesActivity};
use crate::step::{Preview, Step};

/// What a command may take beyond its own timeout before the step is given up: the host ends it first.
const GRACE: Duration = Duration::from_secs(30);
/// How much of a failed command's output an error shows, in characters.
const OUTPUT_MAX: usize = 2000;

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

pub(super) fn line(command: &Command) -> String {
    std::iter::once(&command.program).chain(&command.args).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The parameters for a fingerprint; the environment's values enter as one digest.
pub(super) fn definition(command: &Command) -> Value {
    let names: Vec<&String> = command.env.keys().collect();
    json!({
        "program": command.program,
        "args": command.args,
        "directory": command.directory,
        "timeout": command.timeout,
        "env": { "names": names, "values": Digest::of(json!(command.env).to_string().as_bytes()) },
    })
}

/// The digest under which a command must have run before it runs in production: all of it but the values of its
/// environment, which differ from one environment to the next.
fn script(command: &Command) -> Digest {
    let Command { program, args, directory, env, .. } = command;
    let names: Vec<&String> = env.keys().collect();
    Digest::of(json!([program, args, directory, names]).to_string().as_bytes())
}

/// A command that did not end with 0 may have done half of its work.
fn succeeded(command: &Command, output: &CommandOutput) -> Result<(), StepError> {
    if output.succeeded() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let from = stderr.char_indices().rev().nth(OUTPUT_MAX).map_or(0, |(index, _)| index);
    let tail = stderr.get(from..).unwrap_or_default().trim().to_owned();
    let code = output.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    Err(StepError::in_doubt("the command did not succeed")
        .fact("command", line(command))
        .fact("end", code)
        .fact("stderr", tail))
}

#[async_trait]
impl Rollback<Services> for InstallDependencies {
    fn reversibility(&self) -> Reversibility {
        let how = match &self.undo {
            Some(undo) => format!("`{}` is run", line(undo)),
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
        succeeded(undo, &self.host.run(permit, undo).await?)
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
            "install": definition(&self.install),
            "check": self.check.as_ref().map(definition),
            "undo": self.undo.as_ref().map(definition),
        })
    }

    async fn preview(&self, _cx: &StepContext<Services>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        let commands =
            [("install", Some(&self.install)), ("check", self.check.as_ref()), ("undo", self.undo.as_ref())];
        for (field, command) in commands {
            let Some(command) = command else { continue };
            problems.check(!command.program.is_empty(), &format!("{field}.program"), "must not be empty");
            problems.check(!command.timeout.is_zero(), &format!("{field}.timeout"), "must be above 0");
        }
        problems.into_result()?;
        let scripts = commands.iter().filter_map(|(_, command)| *command).map(script);
        Ok(scripts
            .fold(Preview::new(), Preview::script)
            .change("dependencies", "as they are", format!("after `{}`", line(&self.install)))
            .unknown("which packages change: the command decides"))
    }

    async fn run(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Services>, StepError> {
        cx.progress().say("installing dependencies");
        succeeded(&self.install, &self.host.run(permit, &self.install).await?)?;
        let summary = match &self.check {
            None => format!("`{}` ended with 0", line(&self.install)),
            Some(check) => {
                succeeded(check, &self.host.query(check).await.map_err(StepError::after_effect)?)?;
                format!("`{}` and then `{}` ended with 0", line(&self.install), line(check))
            }
        };
        let evidence = Evidence::new(ServicesActivity::InstallDependencies, summary)
            .value("command", line(&self.install))
            .value("code", 0);
        Ok(Receipt::new().observed(evidence))
    }
}
