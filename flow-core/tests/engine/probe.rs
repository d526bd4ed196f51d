//! A step for any stage that writes down what happens to it.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::prelude::*;
use flow_core::stage::{
    Activity, Assets, Build, Functions, Migrate, Monitoring, Prepare, Services, ServicesActivity, Stage,
    Verify,
};
use flow_core::strategy::BlueGreen;
use flow_core::{Actor, Artifact, Digest, Environment, Service, Setting, Work, Workflow};
use flow_testkit::fake::{FakeFleet, MemoryEvidence, MemoryVault, VirtualClock};

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// How a probe's `run` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    Well,
    Rejected,
    InDoubt,
    UndoFails,
    OnceUnavailable,
    OnceRejected,
    Hangs,
}

pub(crate) struct Probe<S> {
    name: Name,
    covers: Vec<String>,
    ends: Ends,
    log: Log,
    failed: Mutex<bool>,
    irreversible: Option<String>,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> Probe<S> {
    pub(crate) fn new(name: Name, log: &Log) -> Self {
        Self {
            name,
            covers: S::Activity::ALL.iter().map(|activity| activity.name().to_string()).collect(),
            ends: Ends::Well,
            log: log.clone(),
            failed: Mutex::new(false),
            irreversible: None,
            stage: PhantomData,
        }
    }

    pub(crate) fn covering(mut self, activities: &[S::Activity]) -> Self {
        self.covers = activities.iter().map(|activity| activity.name().to_string()).collect();
        self
    }

    pub(crate) fn irreversible(mut self, reason: &str) -> Self {
        self.irreversible = Some(reason.to_owned());
        self
    }

    pub(crate) fn ending(mut self, ends: Ends) -> Self {
        self.ends = ends;
        self
    }
}

#[async_trait]
impl<S: Stage> Rollback<S> for Probe<S> {
    fn reversibility(&self) -> Reversibility {
        match &self.irreversible {
            Some(reason) => Reversibility::Irreversible { reason: reason.clone() },
            None => Reversibility::Reversible,
        }
    }

    async fn capture(&self, _: &StepContext<S>) -> Result<Captured, StepError> {
        self.log.add(format!("capture {}", self.name));
        Captured::of(&format!("before {}", self.name))
    }

    async fn roll_back(
        &self,
        _: &StepContext<S>,
        _: &Permit,
        before: &Captured,
        outcome: &Outcome<S>,
    ) -> Result<(), StepError> {
        assert_eq!(before.get::<String>()?, format!("before {}", self.name));
        let how = if matches!(outcome, Outcome::Finished(_)) { "finished" } else { "in doubt" };
        self.log.add(format!("undo {} {how}", self.name));
        match self.ends {
            Ends::UndoFails => Err(StepError::new(ErrorKind::Failed, "the undo does not work")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl<S: Stage> Step<S> for Probe<S> {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn covers(&self) -> Vec<S::Activity> {
        let covered = |activity: &&S::Activity| self.covers.contains(&activity.name().to_string());
        S::Activity::ALL.iter().filter(covered).copied().collect()
    }

    async fn preview(&self, _: &StepContext<S>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(&self, _: &StepContext<S>, permit: &Permit, _: &Captured) -> Result<Receipt<S>, StepError> {
        self.log.add(format!("run {}", self.name));
        match self.ends {
            Ends::Rejected => return Err(StepError::new(ErrorKind::Failed, "it does not work")),
            Ends::InDoubt => return Err(StepError::in_doubt("it broke half-way")),
            Ends::OnceUnavailable if !std::mem::replace(&mut *self.failed.lock().unwrap(), true) => {
                return Err(StepError::new(ErrorKind::Unavailable, "not yet"));
            }
            Ends::OnceRejected if !std::mem::replace(&mut *self.failed.lock().unwrap(), true) => {
                return Err(StepError::new(ErrorKind::Failed, "not this time"));
            }
            Ends::Hangs => {
                permit.cancel().cancelled().await;
                return Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"));
            }
            _ => {}
        }
        let evidence = |receipt: Receipt<S>, activity| receipt.evidence(activity, "seen");
        Ok(self.covers().into_iter().fold(Receipt::new(), evidence))
    }
}

/// A build that hands one artefact to the services.
pub(crate) struct Built(pub(crate) Log);

#[async_trait]
impl Rollback<Build> for Built {
    fn reversibility(&self) -> Reversibility {
        Reversibility::NothingToUndo
    }

    async fn capture(&self, _: &StepContext<Build>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    async fn roll_back(
        &self,
        _: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
        _: &Outcome<Build>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Build> for Built {
    fn name(&self) -> Name {
        name!("compile")
    }

    fn covers(&self) -> Vec<flow_core::stage::BuildActivity> {
        flow_core::stage::BuildActivity::ALL.to_vec()
    }

    async fn preview(&self, _: &StepContext<Build>) -> Result<Preview, StepError> {
        Ok(Preview::new().unknown("the artefact"))
    }

    async fn run(
        &self,
        cx: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        self.0.add("run compile");
        let digest = Digest::of(cx.release().as_str().as_bytes());
        let artifact = Artifact { digest, path: "/opt/web".into() };
        let mut facts = flow_core::receipt::BuildFacts::default();
        facts.artifacts.insert(name!("web"), artifact);
        let evidence = |receipt: Receipt<Build>, activity| receipt.evidence(activity, "built");
        Ok(self.covers().into_iter().fold(Receipt::new().facts(facts), evidence))
    }
}

/// A world with one fleet, and a workflow over it.
pub(crate) struct Bench {
    pub(crate) log: Log,
    pub(crate) fleet: FakeFleet,
    pub(crate) evidence: MemoryEvidence,
    pub(crate) vault: MemoryVault,
    /// How long the service's new colour bakes.
    pub(crate) bake: Duration,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            log: Log::default(),
            fleet: FakeFleet::new(),
            evidence: MemoryEvidence::default(),
            vault: MemoryVault::default(),
            bake: Duration::from_secs(60),
        }
    }

    pub(crate) fn setting(&self, release: Name) -> Setting {
        let ann = Actor::new("ann").unwrap();
        let mut setting = Setting::new(name!("shop"), Environment::Staging, release, ann);
        setting.clock = Arc::new(VirtualClock::new());
        setting.vault = Some(Arc::new(self.vault.clone()));
        setting.evidence = Some(Arc::new(self.evidence.clone()));
        setting
    }

    /// Eight stages: a probe each, a build, and one service by blue-green.
    pub(crate) fn workflow(&self) -> Workflow {
        let ann = || Actor::new("ann").unwrap();
        let fleet = Arc::new(self.fleet.clone());
        let service = Service { size: 2, ..Service::new(name!("web")) };
        Workflow {
            prepare: Work::step(Probe::<Prepare>::new(name!("prepare"), &self.log)),
            build: Work::step(Built(self.log.clone())),
            migrate: Work::step(Probe::<Migrate>::new(name!("migrate"), &self.log)),
            assets: Work::step(Probe::<Assets>::new(name!("assets"), &self.log)),
            services: Work::<Services>::rollout(
                BlueGreen { bake: self.bake, ..BlueGreen::default() },
                service,
            )
            .on(fleet.clone(), fleet)
            .without(ServicesActivity::InstallDependencies, "one static program")
            .by(ann()),
            functions: Work::<Functions>::not_applicable("no functions").by(ann()),
            monitoring: Work::step(Probe::<Monitoring>::new(name!("monitor"), &self.log)),
            verify: Work::step(Probe::<Verify>::new(name!("verify"), &self.log)),
        }
    }
}
