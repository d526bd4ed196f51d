//! One run from plan to report: what a platform team's own tool does with the library.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use flow_core::durable::{Durable, Journaled, PerformError};
use flow_core::gate::StandardGate;
use flow_core::plan::{Approvals, OnFailure, PlanError, ProposedPlan};
use flow_core::report::{Language, Report};
use flow_core::{
    Actor, BeginError, Digest, Environment, Name, Resumed, RunId, Setting, Stopped, Undone, Workflow,
};
use flow_journal::SqliteJournal;

use crate::dying::{Death, DyingDurable, DyingJournal, Trail};
use crate::figures::Pulse;
use crate::progress::Progress;
use crate::release::{Checkout, Watch, workflow};
use crate::world::{Place, World};

/// What is to be deployed where, under which run.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) environment: Environment,
    pub(crate) release: Name,
    /// The artefacts that production names; empty elsewhere.
    pub(crate) artifacts: Vec<Digest>,
    pub(crate) watch: Watch,
}

impl Order {
    pub(crate) fn run(&self) -> Result<RunId> {
        Ok(RunId::new(format!("{}-{}", self.environment, self.release))?)
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Completed(Report),
    RolledBack(Report),
    Parked(Report),
    /// It failed, and waits with all that it did standing.
    Held,
    /// The plan was refused: nothing was changed.
    Refused(PlanError),
}

impl Ended {
    /// The exit code of a single run: 0 completed, 2 refused, 3 rolled back, 4 parked, 5 held. Bad input and anything that
    /// keeps a run from being carried out is 1.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Completed(_) => 0,
            Self::Refused(_) => 2,
            Self::RolledBack(_) => 3,
            Self::Parked(_) => 4,
            Self::Held => 5,
        }
    }

    pub(crate) const fn report(&self) -> Option<&Report> {
        match self {
            Self::Completed(report) | Self::RolledBack(report) | Self::Parked(report) => Some(report),
            Self::Held | Self::Refused(_) => None,
        }
    }
}

/// What a single run is told beside its order.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// Tells several runs of one release apart.
    pub(crate) run: Option<Name>,
    /// How long the run rests after its owner was killed: short, so that the example need not wait.
    pub(crate) ttl: Duration,
    /// What a failure does.
    pub(crate) on_failure: OnFailure,
    /// Where this process dies.
    pub(crate) death: Option<Death>,
    /// Where it leaves a trail of what it did.
    pub(crate) trail: Option<PathBuf>,
}

impl Default for Trial {
    fn default() -> Self {
        let ttl = Duration::from_secs(2);
        Self { run: None, ttl, on_failure: OnFailure::RollBack, death: None, trail: None }
    }
}

/// Carries out runs of one world and writes their reports.
pub(crate) struct Controller {
    pub(crate) world: World,
    pub(crate) reports: PathBuf,
    pub(crate) trial: Trial,
}

type Calls = DyingDurable<Journaled<DyingJournal>>;

impl Controller {
    /// Plans, has the plan approved and carries it out.
    pub(crate) async fn deploy(&self, order: &Order) -> Result<Ended> {
        let place = self.world.place(order.environment);
        let (setting, workflow) = self.prepare(&place, order).await?;
        let proposed = match workflow.plan(&setting).await {
            Ok(proposed) => proposed,
            Err(refused) => return Ok(Ended::Refused(refused)),
        };
        let approvals = approve(&proposed, &setting)?;
        let approved = proposed.approve(&approvals).map_err(|errors| anyhow!("{errors:?}"))?;
        let durable = self.durable(order).await?;
        let progress = Progress::watch(&setting, order);
        let ended = workflow.run(approved, &durable).await;
        progress.finish().await;
        self.conclude(order, ended)
    }

    /// Takes a run up again that another process left.
    pub(crate) async fn resume(&self, order: &Order) -> Result<Ended> {
        let place = self.world.place(order.environment);
        let (setting, workflow) = self.prepare(&place, order).await?;
        let durable = self.durable(order).await?;
        let progress = Progress::watch(&setting, order);
        let ended = workflow.carry_on(&setting, &durable).await;
        progress.finish().await;
        self.conclude(order, ended)
    }

    /// Gives a held run up and undoes it, or goes on with an undo that another process left.
    pub(crate) async fn give_up(&self, order: &Order) -> Result<Ended> {
        let (resumed, durable) = self.reopen(order).await?;
        let (by, reason) = (Actor::new("ann")?, "given up by hand");
        let undone = match resumed {
            Resumed::Prepare(held, _) => held.roll_back(&by, reason).await,
            Resumed::Build(held, _) => held.roll_back(&by, reason).await,
            Resumed::Migrate(held, _) => held.roll_back(&by, reason).await,
            Resumed::Assets(held, _) => held.roll_back(&by, reason).await,
            Resumed::Services(held, _) => held.roll_back(&by, reason).await,
            Resumed::Functions(held, _) => held.roll_back(&by, reason).await,
            Resumed::Monitoring(held, _) => held.roll_back(&by, reason).await,
            Resumed::Verify(held, _) => held.roll_back(&by, reason).await,
            other => return self.settled(order, other, &durable).await,
        };
        self.undone(order, undone)
    }

    /// Tries again what a parked run could not undo, or goes on with that after another process.
    pub(crate) async fn retry(&self, order: &Order) -> Result<Ended> {
        let (resumed, durable) = self.reopen(order).await?;
        match resumed {
            Resumed::Parked(parked) => self.conclude(order, parked.resume(Actor::new("ann")?).await),
            other => self.settled(order, other, &durable).await,
        }
    }

    /// A run that needs no decision: on its way back, or at its end.
    async fn settled(&self, order: &Order, resumed: Resumed, durable: &Calls) -> Result<Ended> {
        match resumed {
            Resumed::RollingBack(back) => self.undone(order, back.finish().await),
            Resumed::RolledBack(report) => self.undone(order, Ok(Undone::RolledBack(report))),
            Resumed::Parked(_) => {
                let report = Report::of(durable.history().await?);
                durable.close().await;
                self.write(&self.run(order)?, &report)?;
                Ok(Ended::Parked(report))
            }
            other => bail!("run {}: nothing to decide about {other:?}", self.run(order)?),
        }
    }

    fn undone(&self, order: &Order, undone: Result<Undone, PerformError>) -> Result<Ended> {
        let ended = match undone {
            Ok(Undone::RolledBack(report)) => Ended::RolledBack(report),
            Ok(Undone::Parked(parked)) => Ended::Parked(parked.report),
            Err(error) => return Err(error).context(format!("run {}", self.run(order)?)),
        };
        if let Some(report) = ended.report() {
            self.write(&self.run(order)?, report)?;
        }
        Ok(ended)
    }

    async fn reopen(&self, order: &Order) -> Result<(Resumed, Arc<Calls>)> {
        let place = self.world.place(order.environment);
        let (setting, workflow) = self.prepare(&place, order).await?;
        let durable = Arc::new(self.durable(order).await?);
        Ok((workflow.resume(&setting, durable.clone()).await?, durable))
    }

    fn run(&self, order: &Order) -> Result<RunId> {
        match &self.trial.run {
            Some(run) => Ok(RunId::new(run.as_str())?),
            None => order.run(),
        }
    }

    async fn prepare(&self, place: &Place, order: &Order) -> Result<(Setting, Workflow)> {
        let checkout = Checkout::of(&self.world, &order.release).await?;
        let pulse = match order.watch {
            Watch::Gate => {
                let health = format!("{}/health", place.web_url()?);
                Some(Pulse::of(health, place.prober(), self.world.clock.clone()))
            }
            Watch::Nobody => None,
        };
        let workflow = workflow(place, &checkout, order.watch, pulse)?;
        let initiator = Actor::new("release-bot")?;
        let mut setting =
            Setting::new(flow_core::name!("shop"), order.environment, order.release.clone(), initiator);
        setting.artifacts = order.artifacts.clone();
        setting.on_failure = self.trial.on_failure;
        if order.watch == Watch::Nobody {
            let reason = "the first release: nothing served before it, and nobody asks for it";
            setting.policy = setting.policy.without(StandardGate::Downtime, reason, Actor::new("ann")?);
        }
        setting.clock = self.world.clock.clone();
        setting.vault = Some(self.world.vault());
        setting.evidence = Some(self.world.evidence());
        Ok((setting, workflow))
    }

    async fn durable(&self, order: &Order) -> Result<Calls> {
        let Trial { ttl, death, trail, .. } = self.trial.clone();
        let trail = Trail::open(trail.as_deref(), death)?;
        let store = DyingJournal::new(SqliteJournal::open(self.world.journal()).await?, trail.clone());
        let durable = Journaled::new(Arc::new(store), self.run(order)?).ttl(ttl).patience(ttl * 5);
        Ok(DyingDurable::new(durable, trail))
    }

    fn conclude(&self, order: &Order, ended: Result<Report, Stopped>) -> Result<Ended> {
        let ended = match ended {
            Ok(report) => Ended::Completed(report),
            Err(Stopped::RolledBack { report, .. }) => Ended::RolledBack(report),
            Err(Stopped::Parked { parked, .. }) => Ended::Parked(parked.report),
            Err(Stopped::Held(_)) => Ended::Held,
            Err(Stopped::NotBegun(BeginError::Plan(refused))) => Ended::Refused(refused),
            Err(other) => return Err(other).context(format!("run {}", self.run(order)?)),
        };
        if let Some(report) = ended.report() {
            self.write(&self.run(order)?, report)?;
        }
        Ok(ended)
    }

    fn write(&self, run: &RunId, report: &Report) -> Result<()> {
        let directory = self.directory(run);
        std::fs::create_dir_all(&directory).with_context(|| format!("`{}`", directory.display()))?;
        std::fs::write(directory.join("report.md"), report.to_markdown())?;
        std::fs::write(directory.join("report.zh.md"), report.to_markdown_in(Language::Chinese))?;
        std::fs::write(directory.join("report.json"), serde_json::to_vec_pretty(&report.to_json())?)?;
        Ok(())
    }

    /// Where the report of `run` stands.
    pub(crate) fn directory(&self, run: &RunId) -> PathBuf {
        self.reports.join(run.name().as_str())
    }
}

/// The second pair of eyes that production asks for. In a real tool this is a person who has read the plan.
fn approve(proposed: &ProposedPlan, setting: &Setting) -> Result<Approvals> {
    if proposed.approvals == 0 {
        return Ok(Approvals::none());
    }
    let expires = setting.clock.now().checked_add(Duration::from_secs(600))?;
    Ok(Approvals::none().by(Actor::new("ann")?, proposed.hash, expires))
}
