use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::context::ContextParts;
use crate::durable::PerformError;
use crate::engine::baseline::{Baseline, Fleet};
use crate::engine::item::{Scope, key};
use crate::engine::observe::{Observation, observe};
use crate::engine::seal::seal;
use crate::error::{Cause, ErrorKind, StepError};
use crate::gate::{Judgement, Thresholds};
use crate::journal::{Recorded, Signal};
use crate::machine::Phase;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{Instance, LaunchSpec, Metrics, ProcessManager, Route, Router, Routing, Sample, Weights};
use crate::receipt::{Artifact, Evidence, Receipt};
use crate::service::Service;
use crate::setting::Setting;
use crate::stage::{Build, Rolls, StageName};
use crate::strategy::{Move, Past, RetireWhen, RolloutView, Strategy};

/// More moves than any sensible rollout makes: a strategy that never ends is given up.
const MOST_MOVES: u32 = 10_000;
/// How long one move may take beyond the service's own times.
const MARGIN: Duration = Duration::from_mins(1);

/// The replacement of one service: a strategy over a process manager and a router.
pub(crate) struct RolloutItem<S: Rolls> {
    pub(crate) service: Service,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) processes: Arc<dyn ProcessManager>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) gate: Option<(Arc<dyn Metrics>, Thresholds)>,
    pub(crate) covers: Vec<S::Activity>,
}

/// What a shift leaves for the judgements after it: the counters from which they count.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shifted {
    weights: Weights,
    mark: Option<Sample>,
}

/// What a rollout's receipt keeps for the time after the run is verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptWarm {
    pub(super) instances: Vec<Instance>,
    pub(super) next_unit: u32,
}

/// The name under which [`KeptWarm`] stands in the receipt.
pub(super) const KEPT_WARM: &str = "kept_warm";

impl<S: Rolls> RolloutItem<S> {
    fn fleet(&self, setting: &Setting) -> Fleet {
        Fleet {
            service: self.service.clone(),
            processes: self.processes.clone(),
            router: self.router.clone(),
            clock: setting.clock.clone(),
        }
    }

    pub(super) fn key(&self, phase: Phase, unit: u32) -> crate::machine::CallKey {
        key(S::NAME, &self.service.name, phase, unit)
    }

    pub(super) fn deadline(&self) -> Duration {
        let service = &self.service;
        let instances = service.size.saturating_mul(2).max(1);
        let end = service.drain_within.saturating_add(service.stop_within);
        service.ready_within.saturating_add(end.saturating_mul(instances)).saturating_add(MARGIN)
    }

    /// Carries out a durable effect of the fleet.
    async fn effect<F, Fut>(
        &self,
        scope: &Scope<'_>,
        phase: Phase,
        unit: u32,
        effect: F,
    ) -> Result<Value, PerformError>
    where
        F: Fn(Fleet, Permit) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, StepError>> + Send + 'static,
    {
        let fleet = self.fleet(scope.setting);
        let call = scope.call(self.key(phase, unit), self.deadline(), move |attempt| {
            effect(fleet.clone(), attempt.into_permit()).map(|done| done.map(Recorded)).boxed()
        });
        scope.durable.perform(call).await.map(|recorded| recorded.0)
    }

    pub(super) async fn capture(&self, scope: &Scope<'_>) -> Result<Baseline, PerformError> {
        let (fleet, vault) = (self.fleet(scope.setting), scope.setting.vault.clone());
        let call = scope.call(self.key(Phase::Capture, 0), self.deadline(), move |attempt| {
            let (fleet, vault) = (fleet.clone(), vault.clone());
            async move { seal(vault.as_ref(), &attempt.into_permit(), fleet.capture().await?).await }.boxed()
        });
        let recorded = scope.durable.read(call).await?;
        read(recorded.0.get("open").cloned().unwrap_or_default())
    }

    async fn look(&self, scope: &Scope<'_>, unit: u32) -> Result<Observation, PerformError> {
        let fleet = self.fleet(scope.setting);
        let call = scope.call(self.key(Phase::Observe, unit), self.deadline(), move |_| {
            let fleet = fleet.clone();
            async move { record(&observe(&*fleet.processes, &*fleet.router, &fleet.service.name).await?) }
                .boxed()
        });
        read(scope.durable.read(call).await?.0)
    }

    /// The artefact of the service among the build stage's receipts.
    fn artifact(&self, parts: &ContextParts) -> Result<Artifact, PerformError> {
        let receipts =
            parts.receipts.get(&StageName::Build).into_iter().flat_map(|receipts| receipts.values());
        for receipt in receipts {
            let receipt: Receipt<Build> = read(receipt.clone())?;
            if let Some(artifact) = receipt.facts.artifacts.get(&self.service.artifact) {
                return Ok(artifact.clone());
            }
        }
        let message = format!("no step of stage Build made the artefact `{}`", self.service.artifact);
        Err(PerformError::Rejected(Cause::new(ErrorKind::NotFound, message)))
    }

    async fn launch(
        &self,
        scope: &Scope<'_>,
        unit: u32,
        seen: &Observation,
        count: u32,
    ) -> Result<(), PerformError> {
        let artifact = self.artifact(&scope.parts)?;
        let version = scope.parts.release.clone();
        let free = (0..).map(|index| instance_id(&version, &artifact, index));
        let free = free.filter_map(Result::ok).filter(|id| !seen.instances.contains_key(id));
        let fleet = self.fleet(scope.setting);
        let specs: Vec<LaunchSpec> =
            free.take(count as usize).map(|id| fleet.spec(id, &version, &artifact)).collect();
        let launched = self.effect(scope, Phase::Do, unit, move |fleet, permit| {
            let specs = specs.clone();
            async move {
                for spec in &specs {
                    fleet.processes.launch(&permit, spec).await?;
                }
                let ready = specs.iter().map(|spec| fleet.ready(&spec.instance));
                try_join_all(ready).await.map_err(StepError::after_effect)?;
                let ids: Vec<&Name> = specs.iter().map(|spec| &spec.instance).collect();
                Ok(json!({ "launched": ids }))
            }
        });
        launched.await.map(drop)
    }

    async fn shift(
        &self,
        scope: &Scope<'_>,
        unit: u32,
        weights: &Weights,
        leaving: &[Name],
    ) -> Result<Option<Sample>, PerformError> {
        let (weights, leaving) = (weights.clone(), leaving.to_vec());
        let (metrics, version) =
            (self.gate.as_ref().map(|(metrics, _)| metrics.clone()), scope.parts.release.clone());
        let shifted = self.effect(scope, Phase::Do, unit, move |fleet, permit| {
            let (weights, leaving) = (weights.clone(), leaving.clone());
            let (metrics, version) = (metrics.clone(), version.clone());
            async move {
                let routing = healthy_routes(&fleet, &weights, &leaving).await?;
                fleet.put(&permit, &routing).await?;
                let mark = match metrics {
                    Some(metrics) => metrics
                        .sample(&fleet.service.name, &version)
                        .await
                        .map_err(StepError::after_effect)?,
                    None => None,
                };
                serde_json::to_value(Shifted { weights, mark })
                    .map_err(|error| StepError::in_doubt("the shift has no JSON form").because(error))
            }
        });
        let shifted: Shifted = read(shifted.await?)?;
        Ok(shifted.mark)
    }

    async fn judge(
        &self,
        scope: &Scope<'_>,
        unit: u32,
        mark: Option<Sample>,
    ) -> Result<Judgement, PerformError> {
        let Some((metrics, gate)) = self.gate.clone() else {
            let message = "the strategy asks a gate that the rollout does not have";
            return Err(PerformError::Rejected(Cause::new(ErrorKind::Invalid, message)));
        };
        let (service, version) = (self.service.name.clone(), scope.parts.release.clone());
        let call = scope.call(self.key(Phase::Observe, unit), MARGIN, move |_| {
            let (metrics, gate, mark) = (metrics.clone(), gate.clone(), mark.clone());
            let (service, version) = (service.clone(), version.clone());
            async move {
                let now = metrics.sample(&service, &version).await;
                record(&gate.judge(mark.as_ref(), now.as_ref().map(Option::as_ref)))
            }
            .boxed()
        });
        read(scope.durable.read(call).await?.0)
    }

    pub(super) async fn retire(
        &self,
        scope: &Scope<'_>,
        unit: u32,
        instances: Vec<Instance>,
    ) -> Result<(), PerformError> {
        let retired = self.effect(scope, Phase::Do, unit, move |fleet, permit| {
            let instances = instances.clone();
            async move {
                fleet.retire(&permit, &instances).await?;
                Ok(json!({ "retired": instances.iter().map(|instance| &instance.id).collect::<Vec<_>>() }))
            }
        });
        retired.await.map(drop)
    }

    async fn approval(&self, scope: &Scope<'_>, unit: u32, gate: &Name) -> Result<(), PerformError> {
        match scope.durable.wait(self.key(Phase::Do, unit), None, scope.cancel.clone()).await? {
            Signal::Approved { .. } => Ok(()),
            Signal::Refused { by, reason } => {
                Err(given_up(format!("`{gate}` was refused by {by}: {reason}")))
            }
            Signal::TimedOut => Err(given_up(format!("nobody approved `{gate}` in time"))),
        }
    }

    /// Asks the strategy and does what it says until it has what it wants.
    pub(super) async fn drive(
        &self,
        scope: &Scope<'_>,
        baseline: &Baseline,
    ) -> Result<Recorded, PerformError> {
        let mut history: Vec<Past> = Vec::new();
        let mut mark: Option<Sample> = None;
        let mut warm: Vec<Instance> = Vec::new();
        let mut unit = 0;
        let last = loop {
            unit += 1;
            if unit > MOST_MOVES {
                return Err(given_up(format!("the strategy is not done after {MOST_MOVES} moves")));
            }
            let seen = self.look(scope, unit).await?;
            let view = self.view(scope, baseline, &seen, &history)?;
            let made = self.strategy.decide(&view);
            let mut judgement = None;
            match &made {
                Move::Launch { count } => self.launch(scope, unit, &seen, *count).await?,
                Move::Shift { weights, leaving } => mark = self.shift(scope, unit, weights, leaving).await?,
                Move::Bake { duration } => {
                    let key = self.key(Phase::Do, unit);
                    scope.durable.sleep(key, *duration, scope.cancel.clone()).await?;
                }
                Move::Judge => {
                    unit += 1;
                    judgement = Some(self.judge(scope, unit, mark.clone()).await?);
                }
                Move::AwaitApproval { gate } => self.approval(scope, unit, gate).await?,
                Move::Retire { instances, when } => {
                    let wanted = |instance: &&Instance| instances.contains(&instance.id);
                    let instances: Vec<Instance> = seen.instances.values().filter(wanted).cloned().collect();
                    match when {
                        RetireWhen::Now => self.retire(scope, unit, instances).await?,
                        RetireWhen::KeepWarm => warm.extend(instances),
                    }
                }
                Move::Done => break seen,
                Move::Abort { reason } => return Err(given_up(reason.clone())),
            }
            history.push(Past { made, judgement });
        };
        self.receipt(scope, &last, &history, &KeptWarm { instances: warm, next_unit: unit + 1 })
    }

    fn view(
        &self,
        scope: &Scope<'_>,
        baseline: &Baseline,
        seen: &Observation,
        history: &[Past],
    ) -> Result<RolloutView, PerformError> {
        let odd = |error| {
            PerformError::InDoubt(Cause::new(ErrorKind::Unknown, format!("the router says: {error}")))
        };
        Ok(RolloutView {
            service: self.service.name.clone(),
            size: self.service.size,
            old: baseline.serving().cloned(),
            new: scope.parts.release.clone(),
            instances: seen.seen.clone(),
            weights: seen.routing.weights().map_err(odd)?,
            granularity: self.router.granularity(),
            gate: self.gate.as_ref().map(|(_, gate)| gate.clone()),
            history: history.to_vec(),
        })
    }

    fn receipt(
        &self,
        scope: &Scope<'_>,
        seen: &Observation,
        history: &[Past],
        warm: &KeptWarm,
    ) -> Result<Recorded, PerformError> {
        let version = &scope.parts.release;
        let weights = seen.routing.weights().map(|weights| weights.to_string()).unwrap_or_default();
        let healthy = seen.seen.iter().filter(|seen| seen.healthy && seen.version == *version).count();
        let mut receipt = Receipt::<S>::new().facts(S::rolled_out(&self.service.name, version));
        for activity in &self.covers {
            let summary = format!(
                "{} by {}: {healthy} of {} instances of {version} healthy, {} replaced kept warm",
                self.service.name,
                self.strategy.name(),
                self.service.size,
                warm.instances.len()
            );
            let evidence = Evidence::new(*activity, summary).value("weights", weights.clone());
            receipt = receipt.observed(evidence.value("moves", json!(history)));
        }
        let receipt = receipt.extra(KEPT_WARM, warm);
        receipt
            .and_then(|receipt| record(&receipt))
            .map_err(|error| PerformError::InDoubt(Cause::from(&error)))
    }

    pub(super) async fn undo_move<F, Fut>(
        &self,
        scope: &Scope<'_>,
        unit: u32,
        effect: F,
    ) -> Result<(), PerformError>
    where
        F: Fn(Fleet, Permit) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        let undone = self.effect(scope, Phase::Undo, unit, move |fleet, permit| {
            effect(fleet, permit).map(|done| done.map(|()| Value::Null))
        });
        undone.await.map(drop)
    }
}

/// The routes of `weights`, each to those instances that are healthy at this moment and not leaving.
async fn healthy_routes(fleet: &Fleet, weights: &Weights, leaving: &[Name]) -> Result<Routing, StepError> {
    let seen = observe(&*fleet.processes, &*fleet.router, &fleet.service.name).await?;
    let mut routing = Routing::default();
    for (version, weight) in weights.iter() {
        let usable = seen.seen.iter().filter(|instance| {
            instance.version == *version && instance.healthy && !leaving.contains(&instance.id)
        });
        let addresses: Vec<String> =
            usable.filter_map(|usable| Some(seen.instances.get(&usable.id)?.address.clone())).collect();
        if addresses.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "traffic goes only to instances proved healthy")
                .fact("service", &fleet.service.name)
                .fact("version", version));
        }
        routing.0.insert(version.clone(), Route { weight, addresses });
    }
    Ok(routing)
}

/// Instances of one release are counted; the digest keeps two builds of one version apart.
fn instance_id(version: &Name, artifact: &Artifact, index: u32) -> Result<Name, crate::InvalidName> {
    let digest: String = artifact.digest.hex().chars().take(8).collect();
    let version: String = version.as_str().chars().take(40).collect();
    Name::new(format!("{version}-{digest}-{index}"))
}

fn given_up(reason: String) -> PerformError {
    PerformError::Rejected(Cause::new(ErrorKind::Failed, reason))
}

fn record(value: &impl Serialize) -> Result<Recorded, StepError> {
    let value = serde_json::to_value(value);
    value
        .map(Recorded)
        .map_err(|error| StepError::in_doubt("what was observed has no JSON form").because(error))
}

pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, PerformError> {
    serde_json::from_value(value).map_err(|error| {
        PerformError::Incompatible(format!("the journal has a value of another type: {error}"))
    })
}
