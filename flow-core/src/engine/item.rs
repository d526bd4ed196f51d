use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::cancel::CancelToken;
use crate::context::ContextParts;
use crate::durable::{Attempt, Call, CallOptions, Durable, PerformError};
use crate::error::{Problems, StepError};
use crate::journal::Recorded;
use crate::machine::{CallKey, Phase, Running};
use crate::name::Name;
use crate::plan::PlannedItem;
use crate::setting::Setting;
use crate::stage::StageName;
use crate::step::Preview;

/// How many attempts a call has, for failures of a retryable kind.
const ATTEMPTS: u32 = 4;

/// The groups of one stage, in order: items of one group run at the same time.
pub(crate) type Items = Vec<Vec<Arc<dyn Item>>>;

/// A step or a rollout, without its stage's type: what the engine drives.
#[async_trait]
pub(crate) trait Item: Send + Sync {
    fn stage(&self) -> StageName;
    fn name(&self) -> Name;
    fn resources(&self) -> Vec<Name>;

    /// The services that must be up before this item begins, and the one that it brings up.
    fn order(&self) -> Option<(&Name, &[Name])> {
        None
    }

    /// Whether it seals captured state, which needs a vault.
    fn seals(&self) -> bool;

    /// What is wrong with its parameters.
    fn check(&self) -> Problems;

    /// Its definition, without a preview; its group is filled in by the caller.
    fn outline(&self) -> PlannedItem;

    /// What it would change.
    async fn preview(&self, setting: &Setting, parts: Arc<ContextParts>) -> Result<Preview, StepError>;

    /// Does it, and returns its receipt.
    async fn forward(&self, scope: &Scope<'_>) -> Result<Recorded, PerformError>;

    /// Does what was held back until the run was verified.
    async fn close(&self, _scope: &Scope<'_>, _running: &Running) -> Result<(), PerformError> {
        Ok(())
    }

    /// Undoes it, from what the journal knows of it.
    async fn undo(&self, scope: &Scope<'_>, running: &Running) -> Result<(), PerformError>;
}

/// What an item works with for the time of one direction.
pub(crate) struct Scope<'a> {
    pub(crate) durable: &'a dyn Durable,
    pub(crate) setting: &'a Setting,
    pub(crate) parts: Arc<ContextParts>,
    pub(crate) cancel: CancelToken,
}

impl Scope<'_> {
    /// The same, for one item among others that are cancelled together.
    pub(crate) fn with(&self, parts: Arc<ContextParts>, cancel: CancelToken) -> Self {
        Self { durable: self.durable, setting: self.setting, parts, cancel }
    }

    pub(crate) fn call<F>(&self, key: CallKey, deadline: Duration, effect: F) -> Call
    where
        F: Fn(Attempt) -> BoxFuture<'static, Result<Recorded, StepError>> + Send + Sync + 'static,
    {
        let options = CallOptions { deadline, attempts: ATTEMPTS, cancel: self.cancel.clone() };
        Call { key, options, effect: Box::new(effect) }
    }
}

pub(crate) fn key(stage: StageName, step: &Name, phase: Phase, unit: u32) -> CallKey {
    CallKey { stage, step: step.clone(), phase, unit }
}
