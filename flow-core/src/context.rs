//! What a step knows of the run it is part of.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::Value;

use crate::clock::Clock;
use crate::environment::Environment;
use crate::error::{ErrorKind, StepError};
use crate::event::ProgressSender;
use crate::name::{Actor, Digest, Name};
use crate::plan::Plan;
use crate::receipt::{Artifact, Receipt};
use crate::stage::{Before, Build, Stage, StageName};

/// Recorded receipts of one stage by step name, in the journal's form.
pub(crate) type StageReceipts = BTreeMap<Name, Value>;

/// What a step of stage `S` knows of its run: who deploys what where, the plan, and the receipts of what came before.
///
/// It owns its data, so a step may keep a clone.
#[derive(Debug)]
pub struct StepContext<S: Stage> {
    inner: Arc<ContextParts>,
    progress: ProgressSender,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> Clone for StepContext<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), progress: self.progress.clone(), stage: PhantomData }
    }
}

/// The parts of a context, the same for every stage.
#[derive(Debug, Clone)]
pub(crate) struct ContextParts {
    pub(crate) run: Option<crate::RunId>,
    pub(crate) application: Name,
    pub(crate) environment: Environment,
    pub(crate) release: Name,
    pub(crate) artifacts: Vec<Digest>,
    pub(crate) initiator: Actor,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) plan: Option<Arc<Plan>>,
    pub(crate) receipts: Arc<BTreeMap<StageName, StageReceipts>>,
    pub(crate) earlier: Arc<StageReceipts>,
}

impl<S: Stage> StepContext<S> {
    pub(crate) fn new(inner: Arc<ContextParts>, progress: ProgressSender) -> Self {
        Self { inner, progress, stage: PhantomData }
    }

    /// The run's id; none while the plan is made.
    #[must_use]
    pub fn run(&self) -> Option<&crate::RunId> {
        self.inner.run.as_ref()
    }

    /// What is deployed.
    #[must_use]
    pub fn application(&self) -> &Name {
        &self.inner.application
    }

    /// Where it is deployed to.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.inner.environment
    }

    /// The version that is deployed.
    #[must_use]
    pub fn release(&self) -> &Name {
        &self.inner.release
    }

    /// The artefact digests that the plan names; a build that gives another one is refused. Empty where the plan
    /// leaves them open, which production never does.
    #[must_use]
    pub fn artifacts(&self) -> &[Digest] {
        &self.inner.artifacts
    }

    /// Who started the run.
    #[must_use]
    pub fn initiator(&self) -> &Actor {
        &self.inner.initiator
    }

    /// The clock that every wait goes through.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The plan that the run follows; none while it is made.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.inner.plan.as_ref()
    }

    /// Says how far the step has come. Best effort: only the latest is kept, and nobody waits for a reader.
    #[must_use]
    pub const fn progress(&self) -> &ProgressSender {
        &self.progress
    }

    /// All receipts of the earlier stage `E`, by step name. Empty if it was not applicable, and while the plan is made.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a receipt was written by an incompatible version.
    pub fn receipts<E: Before<S>>(&self) -> Result<BTreeMap<Name, Receipt<E>>, StepError> {
        self.inner.receipts.get(&E::NAME).map_or_else(|| Ok(BTreeMap::new()), decode)
    }

    /// The artefact that stage 2 built under `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such an artefact, as while the plan is made, and [`ErrorKind::Conflict`] where two have
    /// the name, or a receipt was written by an incompatible version.
    pub fn artifact(&self, name: &Name) -> Result<Artifact, StepError>
    where
        Build: Before<S>,
    {
        let receipts = self.receipts::<Build>()?;
        let mut found = receipts.values().filter_map(|receipt| receipt.facts.artifacts.get(name));
        let missing =
            || StepError::new(ErrorKind::NotFound, "stage 2 built no such artefact").fact("artifact", name);
        let artifact = found.next().ok_or_else(missing)?;
        if found.any(|other| other != artifact) {
            return Err(StepError::new(ErrorKind::Conflict, "stage 2 built two artefacts of one name")
                .fact("artifact", name));
        }
        Ok(artifact.clone())
    }

    /// The receipts of the steps before this one in the same stage, never of one that runs at the same time.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a receipt was written by an incompatible version.
    pub fn earlier(&self) -> Result<BTreeMap<Name, Receipt<S>>, StepError> {
        decode(&self.inner.earlier)
    }
}

#[cfg(feature = "testing")]
impl<S: Stage> StepContext<S> {
    /// A context for a test of a step: application `shop`, release `1.0.0`, in the testing environment.
    #[must_use]
    pub fn for_tests(clock: Arc<dyn Clock>) -> Self {
        let parts = ContextParts {
            run: crate::RunId::new("test").ok(),
            application: crate::name!("shop"),
            environment: Environment::Testing,
            release: crate::name!("1.0.0"),
            artifacts: Vec::new(),
            initiator: Actor::tester(),
            clock,
            plan: None,
            receipts: Arc::default(),
            earlier: Arc::default(),
        };
        Self::new(Arc::new(parts), ProgressSender::silent())
    }

    /// The same context after step `name` of the earlier stage `E` left `receipt`.
    ///
    /// # Errors
    /// Whatever the receipt's values have no JSON form for.
    pub fn after<E: Before<S>>(
        mut self,
        name: Name,
        receipt: &Receipt<E>,
    ) -> Result<Self, serde_json::Error> {
        let receipt = serde_json::to_value(receipt)?;
        let parts = Arc::make_mut(&mut self.inner);
        Arc::make_mut(&mut parts.receipts).entry(E::NAME).or_default().insert(name, receipt);
        Ok(self)
    }

    /// The same context after the earlier step `name` of the same stage left `receipt`.
    ///
    /// # Errors
    /// Whatever the receipt's values have no JSON form for.
    pub fn following(mut self, name: Name, receipt: &Receipt<S>) -> Result<Self, serde_json::Error> {
        let receipt = serde_json::to_value(receipt)?;
        let parts = Arc::make_mut(&mut self.inner);
        Arc::make_mut(&mut parts.earlier).insert(name, receipt);
        Ok(self)
    }

    /// The same context on `clock`.
    #[must_use]
    pub fn on(mut self, clock: Arc<dyn Clock>) -> Self {
        Arc::make_mut(&mut self.inner).clock = clock;
        self
    }

    /// The same context in a run that follows `plan`.
    #[must_use]
    pub fn planned(mut self, plan: Plan) -> Self {
        Arc::make_mut(&mut self.inner).plan = Some(Arc::new(plan));
        self
    }

    /// The same context where `digests` are the artefacts that the plan names.
    #[must_use]
    pub fn naming(mut self, digests: Vec<Digest>) -> Self {
        Arc::make_mut(&mut self.inner).artifacts = digests;
        self
    }
}

fn decode<S: Stage>(receipts: &StageReceipts) -> Result<BTreeMap<Name, Receipt<S>>, StepError> {
    let read = |(name, value): (&Name, &Value)| {
        let receipt = serde_json::from_value(value.clone()).map_err(|error| {
            StepError::new(ErrorKind::Conflict, "the journal's receipt cannot be read")
                .fact("step", name)
                .because(error)
        })?;
        Ok((name.clone(), receipt))
    };
    receipts.iter().map(read).collect()
}
