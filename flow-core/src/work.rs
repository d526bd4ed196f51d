//! What a stage holds: steps, groups of steps, rollouts, or the reason why there are none.

use std::fmt;
use std::sync::Arc;

use crate::engine::{Item, Items, RolloutItem, StepItem};
use crate::gate::Thresholds;
use crate::name::Actor;
use crate::plan::Declaration;
use crate::port::{Metrics, ProcessManager, Router};
use crate::service::Service;
use crate::stage::{Activity, ActivityName, Optional, Rolls, Stage};
use crate::step::Step;
use crate::strategy::Strategy;

/// The work of stage `S`.
///
/// ```
/// use flow_core::stage::{Functions, Monitoring, MonitoringActivity};
/// use flow_core::{Actor, Work};
///
/// let ann = Actor::new("ann")?;
/// let functions: Work<Functions> = Work::not_applicable("no cloud functions in this release").by(ann);
/// # Ok::<(), flow_core::InvalidActor>(())
/// ```
pub struct Work<S: Stage> {
    pub(crate) groups: Items,
    pub(crate) not_applicable: Option<Declaration>,
    pub(crate) without: Vec<(ActivityName, Declaration)>,
    stage: std::marker::PhantomData<fn() -> S>,
}

impl<S: Stage> fmt::Debug for Work<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<Vec<_>> =
            self.groups.iter().map(|group| group.iter().map(|item| item.name()).collect()).collect();
        f.debug_struct("Work").field("stage", &S::NAME).field("groups", &names).finish_non_exhaustive()
    }
}

impl<S: Stage> Clone for Work<S> {
    fn clone(&self) -> Self {
        let (not_applicable, without) = (self.not_applicable.clone(), self.without.clone());
        Self { groups: self.groups.clone(), not_applicable, without, stage: self.stage }
    }
}

impl<S: Stage> Work<S> {
    fn of(groups: Items) -> Self {
        Self { groups, not_applicable: None, without: Vec::new(), stage: std::marker::PhantomData }
    }

    /// One step.
    #[must_use]
    pub fn step(step: impl Step<S>) -> Self {
        Self::of(vec![vec![item(step)]])
    }

    /// Steps that run at the same time. When one fails, the others are cancelled and awaited; they are undone together.
    #[must_use]
    pub fn together(steps: impl IntoIterator<Item = Arc<dyn Step<S>>>) -> Self {
        Self::of(vec![steps.into_iter().map(|step| Arc::new(StepItem(step)) as Arc<dyn Item>).collect()])
    }

    /// The same work, and then one more step.
    #[must_use]
    pub fn then(self, step: impl Step<S>) -> Self {
        self.then_work(Self::step(step))
    }

    /// The same work, and then more of it.
    #[must_use]
    pub fn then_work(mut self, next: Self) -> Self {
        self.groups.extend(next.groups);
        self.without.extend(next.without);
        self.not_applicable = self.not_applicable.or(next.not_applicable);
        self
    }

    /// Leaves one activity of the stage out, for a reason that somebody answers for.
    pub fn without(self, activity: S::Activity, reason: impl Into<String>) -> Without<S> {
        Without { work: self, activity: activity.name(), reason: reason.into() }
    }

    /// Leaves the whole stage out, for a reason that somebody answers for.
    pub fn not_applicable(reason: impl Into<String>) -> NotApplicable<S>
    where
        S: Optional,
    {
        NotApplicable { reason: reason.into(), stage: std::marker::PhantomData }
    }

    /// Replaces one service by `strategy`.
    pub fn rollout(strategy: impl Strategy + 'static, service: Service) -> Rollout<S>
    where
        S: Rolls,
    {
        Rollout { strategy: Arc::new(strategy), service, gate: None, covers: S::ROLLOUT.to_vec() }
    }
}

fn item<S: Stage>(step: impl Step<S>) -> Arc<dyn Item> {
    Arc::new(StepItem::<S>(Arc::new(step)))
}

/// A stage that is left out, until somebody answers for it.
#[derive(Debug)]
#[must_use = "somebody must answer for it: `.by(actor)`"]
pub struct NotApplicable<S: Stage> {
    reason: String,
    stage: std::marker::PhantomData<fn() -> S>,
}

impl<S: Stage> NotApplicable<S> {
    /// Names who answers for it.
    #[must_use]
    pub fn by(self, actor: Actor) -> Work<S> {
        let declaration = Declaration { reason: self.reason, by: actor };
        Work { not_applicable: Some(declaration), ..Work::of(Vec::new()) }
    }
}

/// An activity that is left out, until somebody answers for it.
#[derive(Debug)]
#[must_use = "somebody must answer for it: `.by(actor)`"]
pub struct Without<S: Stage> {
    work: Work<S>,
    activity: ActivityName,
    reason: String,
}

impl<S: Stage> Without<S> {
    /// Names who answers for it.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Work<S> {
        self.work.without.push((self.activity, Declaration { reason: self.reason, by: actor }));
        self.work
    }
}

/// The replacement of one service, until it is known what it runs on and what sends it traffic.
#[must_use = "a rollout needs `.on(processes, router)`"]
pub struct Rollout<S: Rolls> {
    strategy: Arc<dyn Strategy>,
    service: Service,
    gate: Option<(Arc<dyn Metrics>, Thresholds)>,
    covers: Vec<S::Activity>,
}

impl<S: Rolls> fmt::Debug for Rollout<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rollout")
            .field("service", &self.service)
            .field("covers", &self.covers)
            .finish_non_exhaustive()
    }
}

impl<S: Rolls> Rollout<S> {
    /// Lets a gate watch it.
    pub fn watched_by(mut self, metrics: Arc<dyn Metrics>, gate: Thresholds) -> Self {
        self.gate = Some((metrics, gate));
        self
    }

    /// Says which activities it does, if not those that a rollout does by itself.
    pub fn covering(mut self, activities: impl IntoIterator<Item = S::Activity>) -> Self {
        self.covers = activities.into_iter().collect();
        self
    }

    /// Says what the service runs on and what sends it traffic.
    #[must_use]
    pub fn on(self, processes: Arc<dyn ProcessManager>, router: Arc<dyn Router>) -> Work<S> {
        let Self { strategy, service, gate, covers } = self;
        Work::of(vec![vec![Arc::new(RolloutItem::<S> {
            service,
            strategy,
            processes,
            router,
            gate,
            covers,
        })]])
    }
}
