//! Stage 1: what is deployed, the state of the environment, the order of starts, the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::expectation::Expectation;
use super::heading::{Heading, headed, leaves_nothing};
use crate::context::StepContext;
use crate::error::{Cause, ErrorKind, Problems, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::plan::{Coverage, ItemKind, OnFailure, Plan};
use crate::port::{Migrator, Prober, ProcessManager, Router};
use crate::receipt::{Evidence, PrepareFacts, Receipt};
use crate::rollback::{Captured, Reversibility};
use crate::stage::{Prepare, PrepareActivity, StageName};
use crate::step::{Preview, Step};

/// Says what is deployed, by which steps, and what they touch.
pub struct ConfirmScope {
    heading: Heading,
}

headed!(ConfirmScope);
leaves_nothing!(ConfirmScope: Prepare);

impl ConfirmScope {
    /// The scope as the plan has it.
    #[must_use]
    pub fn new() -> Self {
        Self { heading: Heading::new(name!("confirm-scope")) }
    }
}

impl Default for ConfirmScope {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Step<Prepare> for ConfirmScope {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> std::time::Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<PrepareActivity> {
        vec![PrepareActivity::Scope]
    }

    async fn preview(&self, _cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Prepare>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Prepare>, StepError> {
        let plan = plan_of(cx)?;
        let steps: Vec<String> = plan.items().map(|(stage, item)| format!("{stage}/{}", item.name)).collect();
        let resources: BTreeSet<&Name> = plan.items().flat_map(|(_, item)| &item.resources).collect();
        let services = rollouts(plan);
        let left_out: BTreeMap<String, String> = plan
            .rows()
            .into_iter()
            .filter_map(|row| match row.coverage {
                Coverage::NotApplicable(declared) => {
                    Some((row.activity.to_string(), format!("{} ({})", declared.reason, declared.by)))
                }
                Coverage::Covered(_) | Coverage::Missing => None,
            })
            .collect();
        let summary = format!(
            "{} {} to {}: {} steps, of them {} services, touching {} shared resources",
            plan.application,
            plan.release,
            plan.environment,
            steps.len(),
            services.len(),
            resources.len(),
        );
        let evidence = Evidence::new(PrepareActivity::Scope, summary)
            .value("artifacts", json!(plan.artifacts))
            .value("steps", steps)
            .value("services", json!(services))
            .value("resources", json!(resources))
            .value("left_out", json!(left_out));
        Ok(Receipt::new().observed(evidence))
    }
}

/// Looks at the environment before anything changes.
///
/// The version that runs may be broken: a bad health and a probe without an answer are reported and block nothing, so
/// that the fix can be deployed. A platform that cannot be looked at fails the step.
pub struct InspectEnvironment {
    heading: Heading,
    looks: Vec<Look>,
}

enum Look {
    Processes(Name, Arc<dyn ProcessManager>),
    Traffic(Name, Arc<dyn Router>),
    Database(Arc<dyn Migrator>),
    Probe(Name, Arc<dyn Prober>, Expectation),
}

headed!(InspectEnvironment);
leaves_nothing!(InspectEnvironment: Prepare);

impl InspectEnvironment {
    /// Looks at nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { heading: Heading::new(name!("inspect-environment")), looks: Vec::new() }
    }

    /// Looks at the running instances of `service` and their health.
    #[must_use]
    pub fn processes(self, service: Name, processes: Arc<dyn ProcessManager>) -> Self {
        self.look(Look::Processes(service, processes))
    }

    /// Looks at where the traffic of `service` goes.
    #[must_use]
    pub fn traffic(self, service: Name, router: Arc<dyn Router>) -> Self {
        self.look(Look::Traffic(service, router))
    }

    /// Looks at which migrations the database has.
    #[must_use]
    pub fn database(self, migrator: Arc<dyn Migrator>) -> Self {
        self.look(Look::Database(migrator))
    }

    /// Asks a URL as users do; `label` names the answer in the evidence.
    #[must_use]
    pub fn probe(self, label: Name, prober: Arc<dyn Prober>, expectation: Expectation) -> Self {
        self.look(Look::Probe(label, prober, expectation))
    }

    fn look(mut self, look: Look) -> Self {
        self.looks.push(look);
        self
    }

    async fn observe(&self) -> Result<BTreeMap<String, Value>, StepError> {
        let mut seen = BTreeMap::new();
        for look in &self.looks {
            seen.insert(look.label(), look.take().await?);
        }
        Ok(seen)
    }
}

impl Default for InspectEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

impl Look {
    fn label(&self) -> String {
        match self {
            Self::Processes(service, _) => format!("processes of {service}"),
            Self::Traffic(service, _) => format!("traffic of {service}"),
            Self::Database(migrator) => format!("database {}", migrator.resource()),
            Self::Probe(label, _, _) => format!("probe {label}"),
        }
    }

    async fn take(&self) -> Result<Value, StepError> {
        match self {
            Self::Processes(service, processes) => health(service, &**processes).await,
            Self::Traffic(service, router) => {
                let routing = router.routing(service).await?;
                Ok(json!(
                    routing
                        .0
                        .iter()
                        .map(|(version, route)| (version, route.weight))
                        .collect::<BTreeMap<_, _>>()
                ))
            }
            Self::Database(migrator) => {
                let state = migrator.state().await?;
                let pending: Vec<&String> = state.pending.iter().map(|script| &script.version).collect();
                Ok(json!({ "applied": state.applied, "pending": pending, "schema": state.schema }))
            }
            Self::Probe(_, prober, expectation) => Ok(match expectation.ask(&**prober).await {
                Ok(elapsed) => json!(format!("as expected, in {} ms", elapsed.as_millis())),
                Err(problem) => json!(problem),
            }),
        }
    }
}

async fn health(service: &Name, processes: &dyn ProcessManager) -> Result<Value, StepError> {
    let mut seen = Vec::new();
    for instance in processes.instances(service).await? {
        let health = match processes.health(service, &instance.id).await {
            Ok(health) => json!(health),
            Err(error) => json!(format!("unknown: {}", Cause::from(&error))),
        };
        seen.push(json!({ "instance": instance.id, "version": instance.version, "health": health }));
    }
    Ok(Value::Array(seen))
}

#[async_trait]
impl Step<Prepare> for InspectEnvironment {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> std::time::Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<PrepareActivity> {
        vec![PrepareActivity::EnvironmentState]
    }

    fn definition(&self) -> Value {
        json!(self.looks.iter().map(Look::label).collect::<Vec<_>>())
    }

    /// Reads everything once, and promises nothing of it: health changes by the second, and a plan must not.
    async fn preview(&self, _cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.looks.is_empty(), "looks", "nothing to look at");
        let mut labels = BTreeSet::new();
        for look in &self.looks {
            problems.check(labels.insert(look.label()), &look.label(), "stands twice");
            if let Look::Probe(label, _, expectation) = look {
                expectation.check(label.as_str(), &mut problems);
            }
        }
        problems.into_result()?;
        self.observe().await?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Prepare>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Prepare>, StepError> {
        let observed = self.observe().await?;
        let summary = format!("looked at {} parts of {}", observed.len(), cx.environment());
        let activity = PrepareActivity::EnvironmentState;
        Ok(Receipt::new().observed(Evidence { activity, summary, observed }))
    }
}

/// Says in which order the services start, as their needs demand.
pub struct ConfirmOrder {
    heading: Heading,
}

headed!(ConfirmOrder);
leaves_nothing!(ConfirmOrder: Prepare);

impl ConfirmOrder {
    /// The order as the plan has it.
    #[must_use]
    pub fn new() -> Self {
        Self { heading: Heading::new(name!("confirm-order")) }
    }
}

impl Default for ConfirmOrder {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Step<Prepare> for ConfirmOrder {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> std::time::Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<PrepareActivity> {
        vec![PrepareActivity::DependencyOrder]
    }

    async fn preview(&self, _cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Prepare>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Prepare>, StepError> {
        let start_order = rollouts(plan_of(cx)?);
        let names: Vec<&str> = start_order.iter().map(Name::as_str).collect();
        let summary = match names.as_slice() {
            [] => "no service starts in this run".to_owned(),
            names => format!("services start in the order {}", names.join(", ")),
        };
        let evidence =
            Evidence::new(PrepareActivity::DependencyOrder, summary).value("order", json!(start_order));
        Ok(Receipt::new().observed(evidence).facts(PrepareFacts { start_order }))
    }
}

/// Lists the way back of everything in the plan, and whom to call in an emergency.
pub struct ConfirmRollbackPlan {
    heading: Heading,
    contact: String,
}

headed!(ConfirmRollbackPlan);
leaves_nothing!(ConfirmRollbackPlan: Prepare);

impl ConfirmRollbackPlan {
    /// The way back as the plan has it, with what people do in an emergency: whom they call, where they meet.
    pub fn new(contact: impl Into<String>) -> Self {
        Self { heading: Heading::new(name!("confirm-rollback-plan")), contact: contact.into() }
    }
}

#[async_trait]
impl Step<Prepare> for ConfirmRollbackPlan {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> std::time::Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<PrepareActivity> {
        vec![PrepareActivity::RollbackPlan]
    }

    fn definition(&self) -> Value {
        json!({ "contact": self.contact })
    }

    async fn preview(&self, _cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.contact.trim().is_empty(), "contact", "must say whom to call");
        problems.into_result()?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Prepare>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Prepare>, StepError> {
        let plan = plan_of(cx)?;
        let way_back = |(stage, item): (StageName, &crate::plan::PlannedItem)| json!({ "stage": stage, "step": item.name, "way_back": item.reversibility.to_string() });
        let steps: Vec<Value> = plan.items().map(way_back).collect();
        let no_return = plan.point_of_no_return().map(|(stage, item)| format!("{stage}/{}", item.name));
        let exact = plan.items().filter(|(_, item)| item.reversibility == Reversibility::Reversible).count();
        let summary = match &no_return {
            None => format!(
                "{} steps have their way back, {exact} of them to the exact state before",
                steps.len()
            ),
            Some(step) => format!("{} steps; there is no way back behind {step}", steps.len()),
        };
        let on_failure = match plan.on_failure {
            OnFailure::RollBack => "everything is undone, newest first",
            OnFailure::Hold => "everything stays as it is until somebody decides",
        };
        let evidence = Evidence::new(PrepareActivity::RollbackPlan, summary)
            .value("steps", steps)
            .value("point_of_no_return", json!(no_return))
            .value("on_failure", on_failure)
            .value("contact", self.contact.as_str());
        Ok(Receipt::new().observed(evidence))
    }
}

fn plan_of(cx: &StepContext<Prepare>) -> Result<&Plan, StepError> {
    let missing = || StepError::new(ErrorKind::NotFound, "the run has no plan");
    cx.plan().map(|plan| &**plan).ok_or_else(missing)
}

/// The services that are replaced, in the order they start.
fn rollouts(plan: &Plan) -> Vec<Name> {
    let is_service = |stage: StageName, kind: &ItemKind| {
        stage == StageName::Services && matches!(kind, ItemKind::Rollout { .. })
    };
    plan.items()
        .filter(|(stage, item)| is_service(*stage, &item.kind))
        .map(|(_, item)| item.name.clone())
        .collect()
}
