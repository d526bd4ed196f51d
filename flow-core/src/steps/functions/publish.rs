use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::{Target, restores_function};
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{FunctionPlatform, Invocation};
use crate::receipt::{Evidence, FunctionsFacts, Receipt};
use crate::rollback::Captured;
use crate::stage::{Functions, FunctionsActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed, joined, leaves_nothing};

/// How a function is tested: an event that is safe to repeat, and what the function must answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionTest {
    /// The event. Never a secret.
    pub event: Value,
    /// What it must return; any success will do without it.
    pub returns: Option<Value>,
}

impl FunctionTest {
    /// Calls the function with `event` and expects it to succeed.
    #[must_use]
    pub const fn new(event: Value) -> Self {
        Self { event, returns: None }
    }

    /// Expects it to return `value`, and nothing else.
    #[must_use]
    pub fn returning(mut self, value: Value) -> Self {
        self.returns = Some(value);
        self
    }

    async fn run(&self, target: &Target, version: &str) -> Result<Invocation, StepError> {
        let answer = target.platform.invoke(&target.function, version, &self.event).await?;
        let failed = |problem: &'static str| {
            StepError::new(ErrorKind::Failed, problem)
                .fact("function", &target.function)
                .fact("version", &answer.version)
                .fact("answer", &answer.output)
        };
        if !answer.succeeded {
            return Err(failed("the function failed its test"));
        }
        if answer.version != version {
            return Err(failed("another version of the function answered"));
        }
        match &self.returns {
            Some(expected) if *expected != answer.output => {
                Err(failed("the function does not return what it must").fact("expected", expected))
            }
            _ => Ok(answer),
        }
    }
}

/// Publishes a version, tests it by its own name, and only then lets callers reach it.
pub struct PublishFunction {
    heading: Heading,
    target: Target,
    test: FunctionTest,
}

headed!(PublishFunction);
restores_function!(PublishFunction, Live);

impl PublishFunction {
    /// Publishes `function`. The step is called `<function>.publish`.
    pub fn new(platform: Arc<dyn FunctionPlatform>, function: Name, test: FunctionTest) -> Self {
        let heading = Heading::new(joined(&function, "publish"));
        Self { heading, target: Target { platform, function }, test }
    }

    /// Everything after the version was published.
    async fn promote(&self, permit: &Permit, version: &str) -> Result<Invocation, StepError> {
        let Target { platform, function } = &self.target;
        let answer = self.test.run(&self.target, version).await?;
        platform.make_live(permit, function, version).await?;
        if self.target.state().await?.live.as_deref() != Some(version) {
            return Err(self.target.differs("the published version being live"));
        }
        Ok(answer)
    }
}

#[async_trait]
impl Step<Functions> for PublishFunction {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<FunctionsActivity> {
        vec![FunctionsActivity::Publish]
    }

    fn definition(&self) -> Value {
        json!({ "function": self.target.function, "test": self.test })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.target.resource()]
    }

    fn seals(&self) -> bool {
        true
    }

    async fn preview(&self, _cx: &StepContext<Functions>) -> Result<Preview, StepError> {
        let live = self.target.state().await?.live.unwrap_or_else(|| "none".to_owned());
        let what = format!("live version of function `{}`", self.target.function);
        Ok(Preview::new()
            .stable("live", live.as_str())
            .change(what, live, "a newly published version")
            .unknown("the version's name: the platform gives it"))
    }

    async fn run(
        &self,
        _cx: &StepContext<Functions>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Functions>, StepError> {
        let Target { platform, function } = &self.target;
        let version = platform.publish(permit, function).await?;
        let answer = self.promote(permit, &version).await.map_err(StepError::after_effect)?;
        let summary = format!("version {version} of `{function}` passed its test and is live");
        let evidence = Evidence::new(FunctionsActivity::Publish, summary)
            .value("version", version.as_str())
            .value("answer", answer.output);
        let facts = FunctionsFacts { versions: BTreeMap::from([(function.clone(), version)]) };
        Ok(Receipt::new().observed(evidence).facts(facts))
    }
}

/// Calls the version that callers reach, and checks what it answers.
pub struct TestFunction {
    heading: Heading,
    target: Target,
    test: FunctionTest,
}

headed!(TestFunction);
leaves_nothing!(TestFunction: Functions);

impl TestFunction {
    /// Tests `function`. The step is called `<function>.test`.
    pub fn new(platform: Arc<dyn FunctionPlatform>, function: Name, test: FunctionTest) -> Self {
        let heading = Heading::new(joined(&function, "test"));
        Self { heading, target: Target { platform, function }, test }
    }
}

#[async_trait]
impl Step<Functions> for TestFunction {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<FunctionsActivity> {
        vec![FunctionsActivity::Test]
    }

    fn definition(&self) -> Value {
        json!({ "function": self.target.function, "test": self.test })
    }

    async fn preview(&self, _cx: &StepContext<Functions>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _cx: &StepContext<Functions>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Functions>, StepError> {
        let function = &self.target.function;
        let dead = || {
            StepError::new(ErrorKind::Failed, "no version of the function is live").fact("function", function)
        };
        let live = self.target.state().await?.live.ok_or_else(dead)?;
        let answer = self.test.run(&self.target, &live).await?;
        let summary = format!("the live version {live} of `{function}` answers as it must");
        let evidence = Evidence::new(FunctionsActivity::Test, summary)
            .value("version", live)
            .value("answer", answer.output);
        Ok(Receipt::new().observed(evidence))
    }
}
