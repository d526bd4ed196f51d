use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::context::{ContextParts, StageReceipts};
use crate::durable::{Durable, Milestone, PerformError};
use crate::engine::StageWork;
use crate::engine::item::{Item, Items, Scope};
use crate::error::{Cause, ErrorKind};
use crate::journal::{Recorded, RunOutcome, Standing};
use crate::machine::{Running, State};
use crate::name::Name;
use crate::permit::Permit;
use crate::plan::Plan;
use crate::policy::{self, Border, Proof, Reach, Violation};
use crate::port::RunEvidence;
use crate::setting::Setting;
use crate::stage::StageName;

/// One run: the plan with the items that carry it out.
pub(crate) struct Run {
    pub(crate) setting: Setting,
    pub(crate) plan: Arc<Plan>,
    pub(crate) stages: BTreeMap<StageName, Items>,
}

/// How a run ended that did not complete.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RunEnd {
    RolledBack,
    Parked(Vec<Standing>),
}

impl Run {
    pub(crate) fn new(setting: Setting, plan: Plan, stages: Vec<StageWork>) -> Self {
        let stages = stages.into_iter().map(|work| (work.stage, work.groups)).collect();
        Self { setting, plan: Arc::new(plan), stages }
    }

    /// Carries out `stage`, or what is left of it, and records it finished.
    pub(crate) async fn stage(&self, durable: &dyn Durable, stage: StageName) -> Result<(), PerformError> {
        let groups = self.stages.get(&stage).map(Vec::as_slice).unwrap_or_default();
        let mut parts = self.parts(durable, running(&durable.state().await?)?)?;
        // It looks through the whole plan: once for the stage, not once for each of its steps.
        let reach = Reach::of(&self.plan, Border::BeforeApply);
        for (number, group) in (0..).zip(groups) {
            if reach.ends_before(stage, number) {
                self.cross(durable, Border::BeforeApply).await?;
            }
            let receipts = self.group(durable, group, &parts).await?;
            let known = Arc::make_mut(&mut parts);
            Arc::make_mut(&mut known.earlier).extend(receipts);
        }
        if let Some(border) = Border::behind(stage) {
            self.cross(durable, border).await?;
        }
        durable.publish(Milestone::StageFinished(stage)).await?;
        if stage.next().is_none() { self.close(durable).await } else { Ok(()) }
    }

    /// Judges the run at `border` by the policy that its plan was made and approved under.
    async fn cross(&self, durable: &dyn Durable, border: Border) -> Result<(), PerformError> {
        let Some(policy) = &self.plan.policy else { return Ok(()) };
        let state = durable.state().await?;
        policy::at_border(policy, running(&state)?, border)
            .map_err(|violations| PerformError::Violated(Box::new(violations)))
    }

    /// Carries out the items of one group at the same time. When one fails the others are cancelled and awaited.
    async fn group(
        &self,
        durable: &dyn Durable,
        group: &[Arc<dyn Item>],
        parts: &Arc<ContextParts>,
    ) -> Result<StageReceipts, PerformError> {
        let cancel = self.setting.cancel.child();
        let root = Scope { durable, setting: &self.setting, parts: parts.clone(), cancel: cancel.clone() };
        let scopes: Vec<Scope<'_>> = group.iter().map(|_| root.with(parts.clone(), cancel.clone())).collect();
        let mut under_way: FuturesUnordered<_> = group
            .iter()
            .zip(&scopes)
            .map(|(item, scope)| async move { (item, carry_out(&**item, scope).await) })
            .collect();
        let mut receipts = StageReceipts::new();
        let mut failed: Option<PerformError> = None;
        while let Some((item, ended)) = under_way.next().await {
            match ended {
                Ok(Recorded(receipt)) => {
                    receipts.insert(item.name(), receipt);
                }
                Err(error) => {
                    cancel.cancel();
                    failed = Some(match failed {
                        None => error,
                        Some(first) => weightier(first, error),
                    });
                }
            }
        }
        failed.map_or(Ok(receipts), Err)
    }

    /// Retires what was kept warm and records the run completed. From here on a failure parks: the release is verified.
    async fn close(&self, durable: &dyn Durable) -> Result<(), PerformError> {
        let state = durable.state().await?;
        let running = running(&state)?;
        if running.mode.is_over() {
            return Ok(());
        }
        let parts = self.parts(durable, running)?;
        let scope = Scope { durable, setting: &self.setting, parts, cancel: self.setting.cancel.child() };
        for item in self.stages.values().flatten().flatten() {
            item.close(&scope, running).await?;
        }
        durable.publish(Milestone::Finished(RunOutcome::Completed)).await?;
        self.record_evidence(durable).await
    }

    /// Keeps what the completed run proved. Repeating it changes nothing.
    pub(crate) async fn record_evidence(&self, durable: &dyn Durable) -> Result<(), PerformError> {
        let Some(store) = &self.setting.evidence else { return Ok(()) };
        let unavailable = |error: &crate::StepError| PerformError::Unavailable(Cause::from(error));
        let history = durable.history().await?;
        let Some(last) = history.last() else { return Ok(()) };
        let state = State::replay(history.iter().map(|record| &record.entry));
        let state = state.map_err(|illegal| PerformError::Incompatible(illegal.to_string()))?;
        let running = running(&state)?;
        let built = self.built(running);
        let digests =
            policy::deployed(&self.plan).into_iter().chain(built).collect::<std::collections::BTreeSet<_>>();
        // The policy that the run was approved under; the plans of older versions do not hold it.
        let policy = self.plan.policy.as_deref().unwrap_or(&self.setting.policy);
        let lasts = policy.evidence_lasts;
        let evidence = RunEvidence {
            application: self.plan.application.clone(),
            environment: self.plan.environment,
            release: self.plan.release.clone(),
            digests: digests.into_iter().collect(),
            proved: self.proved(running),
            run: durable.run().clone(),
            head: last.hash,
            recorded: last.at,
            expires: last.at.checked_add(lasts).unwrap_or(jiff::Timestamp::MAX),
        };
        let permit =
            Permit::new(format!("{}/evidence", durable.run()), last.fence, 1, self.setting.cancel.child());
        store.record(&permit, &evidence).await.map_err(|error| unavailable(&error))
    }

    /// What every item that was to prove it has proved: one of two that did not is no proof.
    fn proved(&self, running: &Running) -> Vec<Proof> {
        let holds = |proof: &Proof| {
            let mut proving = self.plan.items().filter(|(_, item)| item.proves.contains(proof)).peekable();
            proving.peek().is_some()
                && proving.all(|(stage, item)| policy::proved(running, stage, item).contains(proof))
        };
        Proof::ALL.into_iter().filter(holds).collect()
    }

    fn built(&self, running: &Running) -> Vec<crate::Digest> {
        let receipts = self.receipts(running, StageName::Build);
        let decoded = receipts.into_values().filter_map(|receipt| {
            serde_json::from_value::<crate::Receipt<crate::stage::Build>>(receipt).ok()
        });
        decoded
            .flat_map(|receipt| {
                let artifacts = receipt.facts.artifacts.into_values().map(|artifact| artifact.digest);
                artifacts.chain(receipt.facts.images.into_values())
            })
            .collect()
    }

    fn receipts(&self, running: &Running, stage: StageName) -> StageReceipts {
        let items = self.plan.stage(stage).map(|planned| planned.items.as_slice()).unwrap_or_default();
        let receipt = |item| running.receipt(stage, item).map(|receipt| receipt.0.clone());
        items.iter().filter_map(|item| Some((item.name.clone(), receipt(item)?))).collect()
    }

    /// What the next item may know: the receipts of earlier stages, and of what is finished in this one.
    pub(crate) fn parts(
        &self,
        durable: &dyn Durable,
        running: &Running,
    ) -> Result<Arc<ContextParts>, PerformError> {
        let here = running.stage;
        let earlier = StageName::ALL.into_iter().filter(|stage| here.is_none_or(|here| *stage < here));
        let receipts = earlier.map(|stage| (stage, self.receipts(running, stage))).collect();
        let setting = &self.setting;
        Ok(Arc::new(ContextParts {
            run: Some(durable.run().clone()),
            application: setting.application.clone(),
            environment: setting.environment,
            release: setting.release.clone(),
            artifacts: setting.artifacts.clone(),
            initiator: setting.initiator.clone(),
            clock: setting.clock.clone(),
            plan: Some(self.plan.clone()),
            receipts: Arc::new(receipts),
            earlier: Arc::default(),
        }))
    }

    pub(crate) fn item(&self, stage: StageName, name: &Name) -> Option<&Arc<dyn Item>> {
        self.stages.get(&stage)?.iter().flatten().find(|item| item.name() == *name)
    }
}

/// Carries out one item; a rollout's receipt is recorded on its own.
async fn carry_out(item: &dyn Item, scope: &Scope<'_>) -> Result<Recorded, PerformError> {
    if item.order().is_none() {
        // A step's calls return what they returned before. The state is not asked for: it grows with every step.
        return item.forward(scope).await;
    }
    let key = (item.stage(), item.name());
    if let Some(receipt) = running(&scope.durable.state().await?)?.concluded.get(&key) {
        return Ok(receipt.clone());
    }
    let receipt = item.forward(scope).await?;
    let (stage, step) = key;
    scope.durable.publish(Milestone::Concluded { stage, step, receipt: receipt.clone() }).await?;
    Ok(receipt)
}

/// Of two failures of one group, the one that says more: a sibling that was merely cancelled is not the cause, and an
/// engine that must hand over outweighs everything.
fn weightier(first: PerformError, second: PerformError) -> PerformError {
    match (&first, &second) {
        (first, _) if first.hands_over() => first.clone(),
        (_, second) if second.hands_over() => second.clone(),
        (PerformError::Cancelled, _) => second,
        _ => first,
    }
}

pub(crate) fn running(state: &State) -> Result<&Running, PerformError> {
    state.running().ok_or_else(|| PerformError::Incompatible("the run was not started".to_owned()))
}

/// The cause that the journal keeps of a failure.
pub(crate) fn cause_of(error: &PerformError) -> Cause {
    match error {
        PerformError::Rejected(cause) | PerformError::InDoubt(cause) | PerformError::Unavailable(cause) => {
            cause.clone()
        }
        PerformError::Violated(violations) => {
            let fact = |(number, violation): (u32, &Violation)| {
                (format!("{number}.{}", violation.code()), violation.to_string())
            };
            let facts = (1..).zip(&violations.all).map(fact).collect();
            Cause { facts, ..Cause::new(ErrorKind::Failed, violations.border.broken()) }
        }
        PerformError::Cancelled => Cause::new(ErrorKind::Cancelled, "the run was cancelled"),
        other => Cause::new(ErrorKind::Unknown, other.to_string()),
    }
}
