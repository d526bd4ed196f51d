use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;

use crate::context::{ContextParts, StepContext};
use crate::durable::PerformError;
use crate::engine::item::{Item, Scope, key};
use crate::engine::seal::{seal, unseal};
use crate::error::{ErrorKind, Problems, StepError};
use crate::event::ProgressSender;
use crate::journal::Recorded;
use crate::machine::{Phase, Running};
use crate::name::Name;
use crate::plan::{ItemKind, PlannedItem};
use crate::receipt::Receipt;
use crate::rollback::Outcome;
use crate::setting::Setting;
use crate::stage::{Activity, Stage, StageName};
use crate::step::{Preview, Step};

/// A step as the engine drives it: capture, then one effect; or one effect back.
pub(crate) struct StepItem<S: Stage>(pub(crate) Arc<dyn Step<S>>);

impl<S: Stage> StepItem<S> {
    fn context(&self, scope: &Scope<'_>) -> StepContext<S> {
        let progress = scope.setting.events.progress(S::NAME, &self.0.name());
        StepContext::new(scope.parts.clone(), progress)
    }
}

#[async_trait]
impl<S: Stage> Item for StepItem<S> {
    fn stage(&self) -> StageName {
        S::NAME
    }

    fn name(&self) -> Name {
        self.0.name()
    }

    fn resources(&self) -> Vec<Name> {
        self.0.resources()
    }

    fn seals(&self) -> bool {
        self.0.seals()
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(!self.0.deadline().is_zero(), "deadline", "must be above 0");
        problems.check(
            !self.0.covers().is_empty(),
            "covers",
            "a step does the work of at least one activity",
        );
        problems
    }

    fn outline(&self) -> PlannedItem {
        PlannedItem {
            name: self.0.name(),
            kind: ItemKind::Step,
            group: 0,
            covers: self.0.covers().into_iter().map(Activity::name).collect(),
            reversibility: self.0.reversibility(),
            deadline: self.0.deadline(),
            resources: self.0.resources(),
            proves: self.0.proves(),
            measures: self.0.measures(),
            definition: self.0.definition(),
            preview: Preview::new(),
        }
    }

    async fn preview(&self, _setting: &Setting, parts: Arc<ContextParts>) -> Result<Preview, StepError> {
        self.0.preview(&StepContext::new(parts, ProgressSender::silent())).await
    }

    async fn forward(&self, scope: &Scope<'_>) -> Result<Recorded, PerformError> {
        let (name, deadline) = (self.0.name(), self.0.deadline());
        let (step, cx, vault) = (self.0.clone(), self.context(scope), scope.setting.vault.clone());
        let capture = scope.call(key(S::NAME, &name, Phase::Capture, 0), deadline, move |attempt| {
            let (step, cx, vault) = (step.clone(), cx.clone(), vault.clone());
            async move {
                let captured = step.capture(&cx).await?;
                if captured.sealed.is_some() && !step.seals() {
                    return Err(StepError::new(
                        ErrorKind::Invalid,
                        "the step seals state without declaring it",
                    ));
                }
                seal(vault.as_ref(), &attempt.into_permit(), captured).await
            }
            .boxed()
        });
        let before = scope.durable.read(capture).await?;
        let (step, cx, vault) = (self.0.clone(), self.context(scope), scope.setting.vault.clone());
        let effect = scope.call(key(S::NAME, &name, Phase::Do, 0), deadline, move |attempt| {
            let (step, cx, vault, before) = (step.clone(), cx.clone(), vault.clone(), before.clone());
            async move {
                let before = unseal(vault.as_ref(), &before).await?;
                let receipt = step.run(&cx, &attempt.into_permit(), &before).await?;
                record(&*step, &receipt)
            }
            .boxed()
        });
        scope.durable.perform(effect).await
    }

    async fn undo(&self, scope: &Scope<'_>, running: &Running) -> Result<(), PerformError> {
        let name = self.0.name();
        let missing = || PerformError::Incompatible(format!("the journal has no capture of `{name}`"));
        let before = running.captured(S::NAME, &name).ok_or_else(missing)?.clone();
        let done = running.effect(&key(S::NAME, &name, Phase::Do, 0)).and_then(|effect| effect.ended.clone());
        let outcome = match done {
            Some(ended) => match ended.recorded.map(|recorded| serde_json::from_value(recorded.0)) {
                Some(Ok(receipt)) => Outcome::<S>::Finished(receipt),
                Some(Err(error)) => {
                    return Err(PerformError::Incompatible(format!(
                        "the receipt of `{name}` is unreadable: {error}"
                    )));
                }
                None => Outcome::InDoubt(ended.cause),
            },
            None => Outcome::InDoubt(None),
        };
        let (step, cx, vault) = (self.0.clone(), self.context(scope), scope.setting.vault.clone());
        let undo = scope.call(key(S::NAME, &name, Phase::Undo, 0), self.0.deadline(), move |attempt| {
            let (step, cx, vault) = (step.clone(), cx.clone(), vault.clone());
            let (before, outcome) = (before.clone(), outcome.clone());
            async move {
                let before = unseal(vault.as_ref(), &before).await?;
                step.roll_back(&cx, &attempt.into_permit(), &before, &outcome).await?;
                Ok(Recorded(Value::Null))
            }
            .boxed()
        });
        scope.durable.perform(undo).await.map(drop)
    }
}

/// A step that cannot say what it observed has not shown that it is done.
fn record<S: Stage>(step: &dyn Step<S>, receipt: &Receipt<S>) -> Result<Recorded, StepError> {
    if let Some(activity) = step.covers().into_iter().find(|activity| !receipt.covers(*activity)) {
        return Err(StepError::in_doubt("the receipt has no evidence").fact("activity", activity.name()));
    }
    let value = serde_json::to_value(receipt);
    value.map(Recorded).map_err(|error| StepError::in_doubt("the receipt has no JSON form").because(error))
}
