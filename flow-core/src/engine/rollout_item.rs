//! A rollout as the engine drives it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use crate::context::ContextParts;
use crate::durable::PerformError;
use crate::engine::baseline::Baseline;
use crate::engine::item::{Item, Scope};
use crate::engine::observe::observe;
use crate::engine::rollout::{KEPT_WARM, KeptWarm, RolloutItem, read};
use crate::engine::seal::unseal;
use crate::error::{ErrorKind, Problems, StepError};
use crate::journal::Recorded;
use crate::machine::{Phase, Running};
use crate::name::Name;
use crate::plan::{ItemKind, PlannedItem};
use crate::port::{LaunchSpec, Weights};
use crate::receipt::Receipt;
use crate::rollback::{Captured, Reversibility};
use crate::setting::Setting;
use crate::stage::{Activity, Rolls, StageName};
use crate::step::Preview;
use crate::strategy::FleetShape;

#[async_trait]
impl<S: Rolls> Item for RolloutItem<S> {
    fn stage(&self) -> StageName {
        S::NAME
    }

    fn name(&self) -> Name {
        self.service.name.clone()
    }

    fn resources(&self) -> Vec<Name> {
        Vec::new()
    }

    fn order(&self) -> Option<(&Name, &[Name])> {
        Some((&self.service.name, &self.service.needs))
    }

    fn seals(&self) -> bool {
        true
    }

    fn check(&self) -> Problems {
        let shape = FleetShape {
            size: self.service.size,
            granularity: self.router.granularity(),
            gated: self.gate.is_some(),
        };
        let gate = self.gate.as_ref().map_or(Ok(()), |(_, gate)| gate.check());
        let mut problems = Problems::default();
        for (place, checked) in
            [("service", self.service.check()), ("strategy", self.strategy.check(&shape)), ("gate", gate)]
        {
            for problem in checked.err().unwrap_or_default().as_slice() {
                problems.add(format!("{place}.{}", problem.field), problem.problem.clone());
            }
        }
        problems
    }

    fn outline(&self) -> PlannedItem {
        let gate = self.gate.as_ref().map(|(_, gate)| gate);
        PlannedItem {
            name: self.service.name.clone(),
            kind: ItemKind::Rollout { strategy: self.strategy.name() },
            group: 0,
            covers: self.covers.iter().map(|activity| activity.name()).collect(),
            reversibility: Reversibility::Reversible,
            deadline: self.deadline(),
            resources: Vec::new(),
            proves: Vec::new(),
            measures: Vec::new(),
            definition: json!([self.service.definition(), self.strategy.definition(), gate]),
            preview: Preview::new(),
        }
    }

    async fn preview(&self, setting: &Setting, _parts: Arc<ContextParts>) -> Result<Preview, StepError> {
        let seen = observe(&*self.processes, &*self.router, &self.service.name).await?;
        let odd = |error| StepError::new(ErrorKind::Conflict, "the weights in force are odd").because(error);
        let before = seen.routing.weights().map_err(odd)?.to_string();
        let after = Weights::all_to(setting.release.clone()).to_string();
        let preview =
            Preview::new().change(format!("traffic of {}", self.service.name), before.clone(), after);
        Ok(preview.stable("weights", before).estimate(self.service.ready_within))
    }

    async fn forward(&self, scope: &Scope<'_>) -> Result<Recorded, PerformError> {
        let baseline = self.capture(scope).await?;
        self.drive(scope, &baseline).await
    }

    async fn close(&self, scope: &Scope<'_>, running: &Running) -> Result<(), PerformError> {
        let Some(recorded) = running.concluded.get(&(S::NAME, self.service.name.clone())) else {
            return Ok(());
        };
        let receipt: Receipt<S> = read(recorded.0.clone())?;
        let warm: KeptWarm =
            receipt.get(KEPT_WARM).map_err(|error| PerformError::Incompatible(error.to_string()))?;
        if warm.instances.is_empty() {
            return Ok(());
        }
        let key = self.key(Phase::Do, warm.next_unit);
        // A wait that the plan has stands in the journal, also where nothing is left of it.
        if !running.plan.keep_warm.is_zero() {
            scope.durable.sleep(key, scope.setting.keep_warm, scope.cancel.clone()).await?;
        }
        self.retire(scope, warm.next_unit + 1, warm.instances).await
    }

    async fn undo(&self, scope: &Scope<'_>, running: &Running) -> Result<(), PerformError> {
        let missing =
            || PerformError::Incompatible(format!("the journal has no capture of `{}`", self.service.name));
        let captured = running.captured(S::NAME, &self.service.name).ok_or_else(missing)?.clone();
        let vault = scope.setting.vault.clone();
        self.undo_move(scope, 0, move |fleet, permit| {
            let (captured, vault) = (captured.clone(), vault.clone());
            async move {
                let captured: Captured = unseal(vault.as_ref(), &captured).await?;
                let (baseline, specs): (Baseline, Vec<LaunchSpec>) =
                    (captured.get()?, captured.get_sealed()?);
                fleet.revive(&permit, &baseline, &specs).await
            }
        })
        .await?;
        let baseline = self.capture(scope).await?;
        let before = baseline.clone();
        self.undo_move(scope, 1, move |fleet, permit| {
            let before = before.clone();
            async move { fleet.return_traffic(&permit, &before).await }
        })
        .await?;
        self.undo_move(scope, 2, move |fleet, permit| {
            let baseline = baseline.clone();
            async move {
                let mut beyond = fleet.processes.instances(&fleet.service.name).await?;
                beyond.retain(|instance| !baseline.instances.iter().any(|old| old.id == instance.id));
                fleet.retire(&permit, &beyond).await
            }
        })
        .await
    }
}
