use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use super::state::{Target, restores_function};
use crate::context::StepContext;
use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{FunctionPlatform, FunctionSpec};
use crate::receipt::{Artifact, Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Functions, FunctionsActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed, joined};

/// Where a function's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionCode {
    /// Code that stands there before the run, pinned by its digest.
    Pinned(Artifact),
    /// The artefact of this name, which stage 2 built.
    Artifact(Name),
}

/// Puts a function's code in place for its next version; callers do not reach it yet.
pub struct UpdateFunctionCode {
    heading: Heading,
    target: Target,
    code: FunctionCode,
}

headed!(UpdateFunctionCode);
restores_function!(UpdateFunctionCode, Whole);

impl UpdateFunctionCode {
    /// Puts `code` in place for `function`. The step is called `<function>.code`.
    pub fn new(platform: Arc<dyn FunctionPlatform>, function: Name, code: FunctionCode) -> Self {
        let heading = Heading::new(joined(&function, "code"));
        Self { heading, target: Target { platform, function }, code }
    }

    fn artifact(&self, cx: &StepContext<Functions>) -> Result<Artifact, StepError> {
        match &self.code {
            FunctionCode::Pinned(artifact) => Ok(artifact.clone()),
            FunctionCode::Artifact(name) => cx.artifact(name),
        }
    }
}

fn digest_or_absent(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |digest| digest.to_string())
}

#[async_trait]
impl Step<Functions> for UpdateFunctionCode {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<FunctionsActivity> {
        vec![FunctionsActivity::Code]
    }

    fn definition(&self) -> Value {
        json!({ "function": self.target.function, "code": self.code })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.target.resource()]
    }

    fn seals(&self) -> bool {
        true
    }

    async fn preview(&self, _cx: &StepContext<Functions>) -> Result<Preview, StepError> {
        let now = digest_or_absent(self.target.state().await?.digest);
        let what = format!("code of function `{}`", self.target.function);
        let preview = Preview::new().stable("code", now.as_str());
        match &self.code {
            FunctionCode::Artifact(name) => Ok(preview
                .change(what, now, format!("the artefact `{name}`"))
                .unknown("the digest of the code: it is built in stage 2")),
            FunctionCode::Pinned(Artifact { digest, .. }) => {
                let preview = preview.deploys(*digest);
                let wanted = digest.to_string();
                Ok(if now == wanted { preview } else { preview.change(what, now, wanted) })
            }
        }
    }

    async fn run(
        &self,
        cx: &StepContext<Functions>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Functions>, StepError> {
        let Artifact { digest, path } = self.artifact(cx)?;
        let state = self.target.state().await?;
        if state.digest != Some(digest) {
            // Only the code is to change: the rest of the function stays as it is.
            let (name, triggers, variables) = (self.target.function.clone(), state.triggers, state.variables);
            let spec = FunctionSpec { name, code: path, digest, triggers, variables };
            self.target.platform.update_code(permit, &spec).await?;
            if self.target.state_after().await?.digest != Some(digest) {
                return Err(self.target.differs("the new code"));
            }
        }
        let summary = format!("the code of `{}` reads back as {digest}", self.target.function);
        let evidence = Evidence::new(FunctionsActivity::Code, summary)
            .value("before", digest_or_absent(state.digest))
            .value("now", digest.to_string());
        Ok(Receipt::new().observed(evidence))
    }
}

/// Replaces all triggers of a function.
pub struct SetTriggers {
    heading: Heading,
    target: Target,
    triggers: BTreeMap<Name, String>,
}

headed!(SetTriggers);
restores_function!(SetTriggers, Triggers);

impl SetTriggers {
    /// Gives `function` these triggers and no others. The step is called `<function>.triggers`.
    pub fn new(
        platform: Arc<dyn FunctionPlatform>,
        function: Name,
        triggers: BTreeMap<Name, String>,
    ) -> Self {
        let heading = Heading::new(joined(&function, "triggers"));
        Self { heading, target: Target { platform, function }, triggers }
    }
}

#[async_trait]
impl Step<Functions> for SetTriggers {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<FunctionsActivity> {
        vec![FunctionsActivity::Triggers]
    }

    fn definition(&self) -> Value {
        json!({ "function": self.target.function, "triggers": self.triggers })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.target.resource()]
    }

    fn seals(&self) -> bool {
        true
    }

    async fn preview(&self, _cx: &StepContext<Functions>) -> Result<Preview, StepError> {
        let now = self.target.state().await?.triggers;
        let preview = Preview::new();
        if now == self.triggers {
            return Ok(preview);
        }
        let what = format!("triggers of function `{}`", self.target.function);
        Ok(preview.change(what, json!(now).to_string(), json!(self.triggers).to_string()))
    }

    async fn run(
        &self,
        _cx: &StepContext<Functions>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Functions>, StepError> {
        let Target { platform, function } = &self.target;
        if self.target.state().await?.triggers != self.triggers {
            platform.set_triggers(permit, function, &self.triggers).await?;
            if self.target.state_after().await?.triggers != self.triggers {
                return Err(self.target.differs("the new triggers"));
            }
        }
        let summary = format!("{} triggers of `{function}` read back", self.triggers.len());
        let evidence =
            Evidence::new(FunctionsActivity::Triggers, summary).value("triggers", json!(self.triggers));
        Ok(Receipt::new().observed(evidence))
    }
}

/// Replaces all environment variables of a function's next version. Values are never shown.
pub struct SetVariables {
    heading: Heading,
    target: Target,
    variables: BTreeMap<String, String>,
}

headed!(SetVariables);
restores_function!(SetVariables, Variables);

impl SetVariables {
    /// Gives `function` these variables and no others. The step is called `<function>.variables`.
    pub fn new(
        platform: Arc<dyn FunctionPlatform>,
        function: Name,
        variables: BTreeMap<String, String>,
    ) -> Self {
        let heading = Heading::new(joined(&function, "variables"));
        Self { heading, target: Target { platform, function }, variables }
    }

    fn names(&self) -> Vec<&str> {
        self.variables.keys().map(String::as_str).collect()
    }
}

#[async_trait]
impl Step<Functions> for SetVariables {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<FunctionsActivity> {
        vec![FunctionsActivity::FunctionVariables]
    }

    fn definition(&self) -> Value {
        let values = Digest::of(json!(self.variables).to_string().as_bytes());
        json!({ "function": self.target.function, "names": self.names(), "values": values })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.target.resource()]
    }

    fn seals(&self) -> bool {
        true
    }

    async fn preview(&self, _cx: &StepContext<Functions>) -> Result<Preview, StepError> {
        let now = self.target.state().await?.variables;
        let what = |name: &String| format!("variable `{name}` of function `{}`", self.target.function);
        let set = self.variables.iter().filter(|(name, value)| now.get(*name) != Some(*value));
        let preview = set.fold(Preview::new(), |preview, (name, _)| {
            let from = if now.contains_key(name) { "another value" } else { "absent" };
            preview.change(what(name), from, "set")
        });
        let removed = now.keys().filter(|name| !self.variables.contains_key(*name));
        Ok(removed.fold(preview, |preview, name| preview.change(what(name), "set", "absent")))
    }

    async fn run(
        &self,
        _cx: &StepContext<Functions>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Functions>, StepError> {
        let Target { platform, function } = &self.target;
        if self.target.state().await?.variables != self.variables {
            platform.set_variables(permit, function, &self.variables).await?;
            if self.target.state_after().await?.variables != self.variables {
                return Err(self.target.differs("the new variables"));
            }
        }
        let summary = format!("{} variables of `{function}` read back", self.variables.len());
        let evidence =
            Evidence::new(FunctionsActivity::FunctionVariables, summary).value("names", self.names());
        Ok(Receipt::new().observed(evidence))
    }
}
