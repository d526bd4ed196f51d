use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_core::durable::Durable;
use flow_core::plan::{Approvals, OnFailure};
use flow_core::stage::{Activity, Monitoring, MonitoringActivity, Prepare, Stage, Verify};
use flow_core::{
    Actor, Captured, Environment, ErrorKind, Name, Outcome, Permit, Preview, Receipt, Reversibility,
    Rollback, Setting, Step, StepContext, StepError, Stopped, Work, Workflow, name,
};
use tokio::runtime::{Builder, Runtime};

use crate::{Error, Samples};

/// A deployment whose seventh stage is a sequence of cheap steps. The other stages have one of them or are left out.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// How it is carried out.
    pub workflow: Workflow,
    times: Times,
}

/// When each step of the sequence began and ended, in order.
#[derive(Debug, Clone, Default)]
pub struct Times(Arc<Mutex<Vec<(Instant, Instant)>>>);

/// One thread for a whole run: what a step costs is then what it does, not how soon another thread wakes up.
///
/// # Errors
/// Where the system has no room for it.
pub fn runtime() -> Result<Runtime, Error> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The setting of a deployment into the development environment.
///
/// # Errors
/// None in fact: the names are good.
pub fn setting() -> Result<Setting, Error> {
    let ann = Actor::new("ann")?;
    Ok(Setting::new(name!("shop"), Environment::Development, name!("1.0.0"), ann))
}

impl Sequence {
    /// `steps` steps that do nothing.
    ///
    /// # Errors
    /// None in fact: the names are good.
    pub fn idle(steps: usize) -> Result<Self, Error> {
        Self::doing(steps, || Ok(()))
    }

    /// `steps` steps whose effect is `effect`.
    ///
    /// # Errors
    /// None in fact: the names are good.
    pub fn doing(
        steps: usize,
        effect: impl Fn() -> Result<(), StepError> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (times, effect) = (Times::default(), Arc::new(effect));
        let mut sequence: Option<Work<Monitoring>> = None;
        for (number, activity) in (0..steps).zip(MonitoringActivity::ALL.iter().cycle()) {
            let name = Name::new(format!("step-{number:05}"))?;
            let (covers, times) = (vec![*activity], Some(times.clone()));
            let step = Cheap::<Monitoring> { name, covers, effect: effect.clone(), times };
            sequence = Some(match sequence {
                None => Work::step(step),
                Some(work) => work.then(step),
            });
        }
        Ok(Self { workflow: workflow(sequence.ok_or("a sequence has a step")?)?, times })
    }

    /// Carries the whole deployment out and says when its steps ran.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub async fn run(&self, setting: &Setting, durable: &dyn Durable) -> Result<Times, Error> {
        self.times.take();
        let proposed = self.workflow.plan(setting).await?;
        let approved = proposed.approve(&Approvals::none()).map_err(|refused| format!("{refused:?}"))?;
        self.workflow.run(approved, durable).await?;
        Ok(Times(Arc::new(Mutex::new(self.times.take()))))
    }
}

impl Times {
    /// What lies between the end of each step and the beginning of the next one: all that the engine does for a step.
    #[must_use]
    pub fn gaps(&self) -> Vec<Duration> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = times.iter().zip(times.iter().skip(1));
        pairs.map(|((_, ended), (began, _))| began.saturating_duration_since(*ended)).collect()
    }

    /// The median of [`gaps`](Self::gaps); zero without any. A gap in which another program had the core does not move it.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.gaps().into_iter().collect::<Samples>().median()
    }

    fn add(&self, began: Instant, ended: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((began, ended));
    }

    fn take(&self) -> Vec<(Instant, Instant)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Carries out `steps` steps and then one that fails; the run is held there. Returns what it takes to resume it.
///
/// # Errors
/// Where the run was not held.
pub async fn held(steps: usize, durable: impl Durable) -> Result<(Workflow, Setting), Error> {
    let begun = AtomicUsize::new(0);
    let sequence = Sequence::doing(steps + 1, move || {
        let last = begun.fetch_add(1, Ordering::Relaxed) == steps;
        if last { Err(StepError::new(ErrorKind::Failed, "held here")) } else { Ok(()) }
    })?;
    let setting = Setting { on_failure: OnFailure::Hold, ..setting()? };
    let ended = sequence.run(&setting, &durable).await;
    durable.close().await;
    match ended {
        Err(error) if matches!(error.downcast_ref(), Some(Stopped::Held(_))) => {
            Ok((sequence.workflow, setting))
        }
        Err(error) => Err(error),
        Ok(_) => Err("the run was not held".into()),
    }
}

/// Eight stages around `sequence`.
fn workflow(sequence: Work<Monitoring>) -> Result<Workflow, Error> {
    let ann = || Actor::new("ann");
    let reason = "only the sequence is measured";
    Ok(Workflow {
        prepare: Work::step(Cheap::<Prepare>::whole(name!("prepare"))),
        build: Work::not_applicable(reason).by(ann()?),
        migrate: Work::not_applicable(reason).by(ann()?),
        assets: Work::not_applicable(reason).by(ann()?),
        services: Work::not_applicable(reason).by(ann()?),
        functions: Work::not_applicable(reason).by(ann()?),
        monitoring: sequence,
        verify: Work::step(Cheap::<Verify>::whole(name!("verify"))),
    })
}

type Effect = Arc<dyn Fn() -> Result<(), StepError> + Send + Sync>;

/// A step with a small capture and a small receipt.
struct Cheap<S: Stage> {
    name: Name,
    covers: Vec<S::Activity>,
    effect: Effect,
    times: Option<Times>,
}

impl<S: Stage> Cheap<S> {
    fn whole(name: Name) -> Self {
        Self { name, covers: S::Activity::ALL.to_vec(), effect: Arc::new(|| Ok(())), times: None }
    }
}

#[async_trait]
impl<S: Stage> Rollback<S> for Cheap<S> {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _: &StepContext<S>) -> Result<Captured, StepError> {
        Captured::of(&("weight", 100))
    }

    async fn roll_back(
        &self,
        _: &StepContext<S>,
        _: &Permit,
        _: &Captured,
        _: &Outcome<S>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl<S: Stage> Step<S> for Cheap<S> {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn covers(&self) -> Vec<S::Activity> {
        self.covers.clone()
    }

    async fn preview(&self, _: &StepContext<S>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(&self, _: &StepContext<S>, _: &Permit, _: &Captured) -> Result<Receipt<S>, StepError> {
        let began = Instant::now();
        (self.effect)()?;
        let seen = |receipt: Receipt<S>, activity: &S::Activity| receipt.evidence(*activity, "seen");
        let receipt = self.covers.iter().fold(Receipt::new(), seen);
        if let Some(times) = &self.times {
            times.add(began, Instant::now());
        }
        Ok(receipt)
    }
}

impl<S: Stage> fmt::Debug for Cheap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cheap").field("name", &self.name).finish_non_exhaustive()
    }
}
