use crate::conformance::patience::Patience;
use crate::conformance::{Checked, Outside};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_core::durable::{Attempt, Call, CallOptions, Durable, Milestone, PerformError};
use flow_core::journal::Recorded;
use flow_core::machine::{CallKey, Phase};
use flow_core::plan::Plan;
use flow_core::stage::{
    Assets, Build, Functions, Migrate, Monitoring, Prepare, PrepareActivity, Services, ServicesActivity,
    StageName, Verify,
};
use flow_core::strategy::BlueGreen;
use flow_core::{CancelToken, Name, Service, Step, StepError, Work, Workflow, name};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;

use crate::fake::FakeStep;
use crate::{Ledger, World};

/// The first stage's steps, which run at the same time: each is one call that a check may make.
pub(super) const FIRST: Name = name!("first");
pub(super) const SECOND: Name = name!("second");

/// The plan of the run: two steps, and then a rollout that may sleep and wait.
pub(super) struct Script {
    pub(super) plan: Plan,
}

impl Script {
    pub(super) async fn new() -> Outside<Self> {
        let world = World::new().with_service("web", 1);
        let setting = world.setting("1.0.0")?;
        let (ledger, fleet) = (Ledger::new(), Arc::new(world.fleet().clone()));
        let by = || setting.initiator.clone();
        let step = |name, activities: [PrepareActivity; 2]| -> Arc<dyn Step<Prepare>> {
            Arc::new(FakeStep::<Prepare>::in_ledger(name, &ledger).covering(activities))
        };
        let workflow = Workflow {
            prepare: Work::together([
                step(FIRST, [PrepareActivity::Scope, PrepareActivity::EnvironmentState]),
                step(SECOND, [PrepareActivity::DependencyOrder, PrepareActivity::RollbackPlan]),
            ]),
            build: Work::<Build>::not_applicable("nothing is built").by(by()),
            migrate: Work::<Migrate>::not_applicable("no database").by(by()),
            assets: Work::<Assets>::not_applicable("no site").by(by()),
            functions: Work::<Functions>::not_applicable("no functions").by(by()),
            monitoring: Work::<Monitoring>::not_applicable("nothing to watch").by(by()),
            services: Work::<Services>::rollout(BlueGreen::default(), Service::new(name!("web")))
                .on(fleet.clone(), fleet)
                .without(ServicesActivity::InstallDependencies, "one static program")
                .by(by()),
            verify: Work::step(FakeStep::<Verify>::in_ledger(name!("verify"), &ledger)),
        };
        let plan = Plan::clone(&*workflow.plan(&setting).await?);
        Ok(Self { plan })
    }
}

/// The key of a step's call.
pub(super) fn key(step: Name, phase: Phase) -> CallKey {
    CallKey { stage: StageName::Prepare, step, phase, unit: 0 }
}

/// The key of a pause of the rollout.
pub(super) fn pause(unit: u32) -> CallKey {
    CallKey { stage: StageName::Services, step: name!("web"), phase: Phase::Do, unit }
}

/// How often an effect began, and what it saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Ran {
    times: Arc<AtomicU32>,
    pub(super) attempts: Arc<std::sync::Mutex<Vec<Attempt>>>,
}

impl Ran {
    pub(super) fn times(&self) -> u32 {
        self.times.load(Ordering::SeqCst)
    }

    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn note(&self, attempt: &Attempt) {
        self.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(attempt.clone());
        self.times.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until the effect has begun so often.
    pub(super) async fn begun(&self, times: u32) -> Checked {
        let patience = Patience::until("the engine has begun the effect");
        while self.times() < times {
            patience.wait().await?;
        }
        Ok(())
    }

    /// A call with an effect that is counted here.
    pub(super) fn call<F>(&self, key: CallKey, options: CallOptions, effect: F) -> Call
    where
        F: Fn(Attempt) -> BoxFuture<'static, Result<Recorded, StepError>> + Send + Sync + 'static,
    {
        let ran = self.clone();
        let effect = Box::new(move |attempt: Attempt| {
            ran.note(&attempt);
            effect(attempt)
        });
        Call { key, options, effect }
    }

    /// A call that returns `value`.
    pub(super) fn returning(&self, key: CallKey, value: u32) -> Call {
        self.call(key, options(), move |_| async move { Ok(Recorded(json!(value))) }.boxed())
    }

    /// A call that never comes back by itself.
    pub(super) fn hanging(&self, key: CallKey) -> Call {
        self.call(key, options(), |_| std::future::pending().boxed())
    }

    /// A call whose attempts end with these kinds, one after the other; with `1` once there are none left.
    pub(super) fn failing(&self, key: CallKey, attempts: u32, kinds: &[flow_core::ErrorKind]) -> Call {
        let (kinds, ran) = (kinds.to_vec(), Self::default());
        let options = CallOptions { attempts, ..options() };
        self.call(key, options, move |attempt| {
            ran.note(&attempt);
            let kind = kinds.get(ran.times() as usize - 1).copied();
            let ended =
                kind.map_or(Ok(Recorded(json!(1))), |kind| Err(StepError::new(kind, "not this time")));
            async move { ended }.boxed()
        })
    }
}

/// One attempt, with more time than it needs.
pub(super) fn options() -> CallOptions {
    CallOptions { deadline: Duration::from_secs(60), attempts: 1, cancel: CancelToken::new() }
}

/// Records the captured state of a step, without which it may change nothing.
pub(super) async fn capture(durable: &dyn Durable, step: Name) -> Result<Recorded, PerformError> {
    durable.read(Ran::default().returning(key(step, Phase::Capture), 0)).await
}

/// Captures and carries out one step.
pub(super) async fn perform(
    durable: &dyn Durable,
    step: Name,
    ran: &Ran,
    value: u32,
) -> Result<Recorded, PerformError> {
    capture(durable, step.clone()).await?;
    durable.perform(ran.returning(key(step, Phase::Do), value)).await
}

/// Brings the run to the stage whose rollout may sleep and wait.
pub(super) async fn to_services(durable: &dyn Durable) -> Result<(), PerformError> {
    for step in [FIRST, SECOND] {
        perform(durable, step, &Ran::default(), 1).await?;
    }
    for stage in [StageName::Prepare, StageName::Build, StageName::Migrate, StageName::Assets] {
        durable.publish(Milestone::StageFinished(stage)).await?;
    }
    Ok(())
}
