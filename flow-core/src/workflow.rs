//! A whole deployment before it runs: eight stages of work.

use std::sync::Arc;
use std::time::Duration;

use crate::deployment::{Begun, Deployment, given_up};
use crate::durable::{Durable, Milestone, Opening, PerformError};
use crate::engine::{self, Run, StageWork};
use crate::machine::{Mode, State};
use crate::name::{Actor, Digest, Name};
use crate::plan::{
    ApprovalError, ApprovedPlan, Drift, Plan, PlanError, PlanProblem, PlannedItem, ProposedPlan, RecallError,
};
use crate::report::Report;
use crate::resumed::Resumed;
use crate::setting::Setting;
use crate::stage::{Assets, Build, Functions, Migrate, Monitoring, Prepare, Services, Stage, Verify};
use crate::stopped::{Stopped, Undone};
use crate::work::Work;

/// A whole deployment: the work of each of the eight stages. Leave one out and it does not compile.
///
/// ```compile_fail,E0063
/// use flow_core::{Workflow, Works};
/// fn forget_the_rest(work: Works) -> Workflow {
///     Workflow { prepare: work.prepare, build: work.build, verify: work.verify }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Stage 1.
    pub prepare: Work<Prepare>,
    /// Stage 2.
    pub build: Work<Build>,
    /// Stage 3.
    pub migrate: Work<Migrate>,
    /// Stage 4.
    pub assets: Work<Assets>,
    /// Stage 5.
    pub services: Work<Services>,
    /// Stage 6.
    pub functions: Work<Functions>,
    /// Stage 7.
    pub monitoring: Work<Monitoring>,
    /// Stage 8.
    pub verify: Work<Verify>,
}

/// The eight fields of a begun workflow, for the chain of [`Deployment::run`]s.
#[derive(Debug)]
pub struct Works {
    /// Stage 1.
    pub prepare: Work<Prepare>,
    /// Stage 2.
    pub build: Work<Build>,
    /// Stage 3.
    pub migrate: Work<Migrate>,
    /// Stage 4.
    pub assets: Work<Assets>,
    /// Stage 5.
    pub services: Work<Services>,
    /// Stage 6.
    pub functions: Work<Functions>,
    /// Stage 7.
    pub monitoring: Work<Monitoring>,
    /// Stage 8.
    pub verify: Work<Verify>,
}

impl From<Workflow> for Works {
    fn from(workflow: Workflow) -> Self {
        let Workflow { prepare, build, migrate, assets, services, functions, monitoring, verify } = workflow;
        Self { prepare, build, migrate, assets, services, functions, monitoring, verify }
    }
}

/// Why a run could not be begun or taken up again. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The workflow cannot be planned any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The world is no longer the one that was approved.
    #[error(transparent)]
    Drift(#[from] Box<Drift>),
    /// The approvals have expired since: the plan is approved anew.
    #[error("the approvals no longer suffice")]
    NotApproved(#[source] ApprovalError),
    /// One call may take longer than the durable engine lets it.
    #[error("`{step}` may take {} s, but a call may take only {} s here", deadline.as_secs(), longest.as_secs())]
    TooLong {
        /// The step.
        step: Name,
        /// How long one attempt of it may take.
        deadline: Duration,
        /// The longest call of the durable engine.
        longest: Duration,
    },
    /// The run was begun already: it is resumed, not begun.
    #[error("the run was begun already")]
    Begun,
    /// The run was never begun.
    #[error("the run was never begun")]
    NotBegun,
    /// It cannot be made durable: somebody else holds it, its journal is of another definition or cannot be read.
    #[error(transparent)]
    Durable(#[from] PerformError),
}

impl Workflow {
    /// Plans the run: checks every step, previews it, and says everything that is wrong at once. Changes nothing.
    ///
    /// # Errors
    /// [`PlanError`] with all problems.
    pub async fn plan(&self, setting: &Setting) -> Result<ProposedPlan, PlanError> {
        let (stages, mut problems) = self.in_order();
        match engine::plan(setting, &stages).await {
            Ok(plan) if problems.is_empty() => Ok(ProposedPlan { plan, setting: setting.clone() }),
            Ok(_) => Err(PlanError { problems }),
            Err(refused) => {
                problems.extend(refused.problems);
                Err(PlanError { problems })
            }
        }
    }

    /// Takes back a plan that was exported ([`Plan::to_json`]) and approved elsewhere, such as in a ticket system.
    ///
    /// Whether the world is still the one of the plan is looked at when the run begins.
    ///
    /// # Errors
    /// [`RecallError`] where the plan was changed on its way, or is not one of this workflow under this setting.
    ///
    /// ```
    /// # async fn example(workflow: &flow_core::Workflow, setting: &flow_core::Setting)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use flow_core::plan::{Approvals, Plan};
    ///
    /// let ticket: String = workflow.plan(setting).await?.to_json().to_string();
    /// // The ticket is read and approved by people; its answer comes back as JSON.
    /// let answer: Approvals = serde_json::from_str(r#"{ "given": [], "accepted": [] }"#)?;
    /// let proposed = workflow.recall(Plan::from_json(&ticket)?, setting)?;
    /// let approved = proposed.approve(&answer).map_err(|errors| format!("{errors:?}"))?;
    /// # drop(approved);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recall(&self, plan: Plan, setting: &Setting) -> Result<ProposedPlan, RecallError> {
        plan.verify()?;
        let known = engine::definition(setting, &self.stages()?);
        if plan.fingerprint != known {
            return Err(RecallError::AnotherDefinition { found: plan.fingerprint, known });
        }
        Ok(ProposedPlan { plan, setting: setting.clone() })
    }

    /// Begins the run. The plan is made once more, with the run already leased: a world that has drifted from what was
    /// approved is refused before anything changes, and so is an approval that has expired since.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub async fn begin(
        self,
        approved: ApprovedPlan,
        durable: Arc<dyn Durable>,
    ) -> Result<(Deployment<Prepare>, Works), BeginError> {
        let run = self.start(approved, &*durable).await?;
        Ok((Deployment::at(Begun { run: Arc::new(run), durable }), self.into()))
    }

    /// Takes a begun run up again, wherever it stands.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub async fn resume(self, setting: &Setting, durable: Arc<dyn Durable>) -> Result<Resumed, BeginError> {
        let (run, state) = self.reopen(setting, &*durable).await?;
        Ok(Resumed::of(Begun { run: Arc::new(run), durable }, &state, self.into()).await?)
    }

    /// Carries out all eight stages in one call; a failure does what the setting says.
    ///
    /// # Errors
    /// [`Stopped`] says how the run ended instead.
    pub async fn run(&self, approved: ApprovedPlan, durable: &dyn Durable) -> Result<Report, Stopped> {
        let run = self.start(approved, durable).await.map_err(Stopped::NotBegun)?;
        run.to_the_end(durable).await
    }

    /// Takes a begun run up again and carries out what is left of it, forward or back.
    ///
    /// # Errors
    /// [`Stopped`] says how the run ended instead.
    pub async fn carry_on(&self, setting: &Setting, durable: &dyn Durable) -> Result<Report, Stopped> {
        let (run, _) = self.reopen(setting, durable).await.map_err(Stopped::NotBegun)?;
        run.to_the_end(durable).await
    }

    /// Takes a begun run up again and undoes everything that it did, wherever it stands: also where it is verified and only
    /// keeps what it replaced warm, and then the way back is one switch.
    ///
    /// # Errors
    /// See [`BeginError`]; where the engine had to hand over, the undo goes on when the run is taken up again. A run that is
    /// over is not undone: [`PerformError::Incompatible`].
    pub async fn roll_back(
        &self,
        setting: &Setting,
        durable: &dyn Durable,
        by: &Actor,
        reason: &str,
    ) -> Result<Undone, BeginError> {
        let (run, _) = self.reopen(setting, durable).await?;
        Ok(run.turn_back(durable, given_up(by, reason)).await?)
    }

    /// Takes a begun run up again and carries out what is left of it, without any more keeping what it replaced warm: the other
    /// end, beside [`roll_back`](Self::roll_back), of a run that is verified. `setting` is the one that the run began under.
    ///
    /// # Errors
    /// As [`carry_on`](Self::carry_on).
    pub async fn conclude(&self, setting: &Setting, durable: &dyn Durable) -> Result<Report, Stopped> {
        let (mut run, _) = self.reopen(setting, durable).await.map_err(Stopped::NotBegun)?;
        run.setting.keep_warm = Duration::ZERO;
        run.to_the_end(durable).await
    }

    async fn start(&self, approved: ApprovedPlan, durable: &dyn Durable) -> Result<Run, BeginError> {
        let (plan, setting) = (&approved.plan, &approved.setting);
        let stages = self.stages()?;
        if let Some(longest) = durable.capabilities().longest_call
            && let Some((_, item)) = plan.items().find(|(_, item)| item.deadline > longest)
        {
            return Err(BeginError::TooLong { step: item.name.clone(), deadline: item.deadline, longest });
        }
        let opening = opening(setting, plan.fingerprint, &stages);
        if durable.open(opening).await? != State::Fresh {
            durable.close().await;
            return Err(BeginError::Begun);
        }
        let found = engine::plan(setting, &stages).await;
        let begun = match found {
            // What the run follows is what was seen just now: equal in all that was approved, and newer in the rest.
            Ok(found) if found.hash == plan.hash => match approved.approved_by() {
                Ok(approvals) => {
                    let milestone = Milestone::Started { plan: Box::new(found.clone()), approvals };
                    durable.publish(milestone).await.map(|()| found).map_err(BeginError::Durable)
                }
                Err(expired) => Err(BeginError::NotApproved(expired)),
            },
            Ok(found) => Err(BeginError::Drift(Box::new(drift(plan, &found)))),
            Err(error) => Err(BeginError::Plan(error)),
        };
        match begun {
            Ok(plan) => Ok(Run::new(setting.clone(), plan, stages)),
            Err(error) => {
                durable.close().await;
                Err(error)
            }
        }
    }

    async fn reopen(&self, setting: &Setting, durable: &dyn Durable) -> Result<(Run, State), BeginError> {
        let stages = self.stages()?;
        let fingerprint = engine::definition(setting, &stages);
        let state = durable.open(opening(setting, fingerprint, &stages)).await?;
        let Some(running) = state.running() else {
            durable.close().await;
            return Err(BeginError::NotBegun);
        };
        let run = Run::new(setting.clone(), Plan::clone(&running.plan), stages);
        if running.mode == Mode::Completed {
            // Whoever died right after the last entry may not have kept what the run proved.
            if let Err(error) = run.record_evidence(durable).await {
                durable.close().await;
                return Err(BeginError::Durable(error));
            }
        }
        Ok((run, state))
    }

    /// The eight stages without their types, services in the order of what they need.
    fn stages(&self) -> Result<Vec<StageWork>, PlanError> {
        let (stages, problems) = self.in_order();
        if problems.is_empty() { Ok(stages) } else { Err(PlanError { problems }) }
    }

    /// The same, and why services cannot be ordered: those stay as they were written.
    fn in_order(&self) -> (Vec<StageWork>, Vec<PlanProblem>) {
        fn stage<S: Stage>(work: &Work<S>) -> StageWork {
            let (not_applicable, without) = (work.not_applicable.clone(), work.without.clone());
            StageWork { stage: S::NAME, groups: work.groups.clone(), not_applicable, without }
        }
        let stages = [
            stage(&self.prepare),
            stage(&self.build),
            stage(&self.migrate),
            stage(&self.assets),
            stage(&self.services),
            stage(&self.functions),
            stage(&self.monitoring),
            stage(&self.verify),
        ];
        let mut problems = Vec::new();
        let mut ordered = Vec::with_capacity(stages.len());
        for work in stages {
            match engine::in_order(work.groups.clone()) {
                Ok(groups) => ordered.push(StageWork { groups, ..work }),
                Err(found) => {
                    problems.extend(found);
                    ordered.push(work);
                }
            }
        }
        (ordered, problems)
    }
}

fn opening(setting: &Setting, fingerprint: Digest, stages: &[StageWork]) -> Opening {
    let items = stages.iter().flat_map(|work| work.groups.iter().flatten());
    let mut resources: Vec<Name> = items.flat_map(|item| item.resources()).collect();
    // An application in an environment is deployed once at a time.
    let place = format!("{}.{}", setting.application, setting.environment);
    resources.extend(Name::new(place).ok());
    resources.sort();
    resources.dedup();
    Opening { fingerprint, resources, clock: setting.clock.clone(), events: setting.events.clone() }
}

/// What differs of all that the plan's hash is made of; what the fingerprint is made of is equal by then, or is named with it.
fn drift(approved: &Plan, found: &Plan) -> Drift {
    let demands = [
        ("definition", approved.fingerprint != found.fingerprint),
        ("initiator", approved.initiator != found.initiator),
        ("approvals", approved.approvals != found.approvals),
        ("policy", approved.policy != found.policy),
    ];
    let demands = demands.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
    let stands = |stage, item: &PlannedItem| {
        approved.item(stage, &item.name).is_some_and(|old| {
            old.preview.stands(&item.preview) && old.proves == item.proves && old.measures == item.measures
        })
    };
    let steps = found.items().filter(|(stage, item)| !stands(*stage, item));
    let changed = demands.chain(steps.map(|(stage, item)| format!("{stage}/{}", item.name))).collect();
    Drift { approved: approved.hash, found: found.hash, changed }
}
