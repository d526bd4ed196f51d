//! Carries commands out and says how they ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use flow_core::durable::{Durable as _, Journaled};
use flow_core::event::{EventKind, Next};
use flow_core::journal::Entry;
use flow_core::plan::Approvals;
use flow_core::port::Instance;
use flow_core::report::Report;
use flow_core::stage::StageName;
use flow_core::{Actor, RunId, Setting, Stopped, Undone, Workflow};
use flow_examples::shop;
use flow_journal::SqliteJournal;

use crate::order::{Order, Orders};
use crate::outcome::{Ended, Outcome};
use crate::release::Release;
use crate::standing::Standing;
use crate::timed::{Stopwatch, ms};
use crate::workflow::{deployment, setting, share};
use crate::world::World;

/// A dead process's lease ends after this long, and the next one waits for that.
const LEASE: Duration = Duration::from_secs(4);
/// How often a run that had to be handed over is taken up again.
const TRIES: u32 = 3;

pub(crate) struct Controller {
    world: World,
    store: Arc<SqliteJournal>,
    orders: Orders,
    /// What is kept beside the journal: reports and sealed state.
    root: PathBuf,
    begun: Instant,
    watch: Stopwatch,
}

impl Controller {
    pub(crate) async fn open(world: World, journal: PathBuf) -> Result<Self> {
        let root = journal.parent().unwrap_or(Path::new(".")).join("services");
        std::fs::create_dir_all(&root).with_context(|| format!("`{}`", root.display()))?;
        let store = Arc::new(SqliteJournal::open(&journal).await?);
        let (begun, watch) = (Instant::now(), Stopwatch::default());
        Ok(Self { world, store, orders: Orders::beside(&journal), root, begun, watch })
    }

    /// Replaces what serves by the release in `directory`.
    pub(crate) async fn deploy(&self, directory: &Path) -> Result<Outcome> {
        let release = Release::read(directory, &self.world.config.app.script)?;
        let earlier = self.begun().await?;
        if let Some(earlier) = &earlier
            && self.standing(earlier).await? == Standing::UnderWay
        {
            let reason =
                format!("the deployment of {} is not over: resume it or roll it back", earlier.release);
            return Ok(Outcome::refused(Some(release.name), reason));
        }
        let order = Order {
            run: RunId::new(format!("deploy-{}", self.world.clock.now().as_millisecond()))?,
            version: release.version()?,
            release: release.name,
            digest: release.digest,
            directory: release.directory,
            earlier: earlier.map(|earlier| Box::new(Order { earlier: None, ..earlier })),
        };
        self.orders.keep(&order)?;
        self.carry_out(&order).await
    }

    /// Goes on with what another process left.
    pub(crate) async fn resume(&self) -> Result<Outcome> {
        match self.orders.latest()? {
            Some(order) => self.carry_out(&order).await,
            None => Ok(Outcome::refused(None, "nothing was begun")),
        }
    }

    /// Carries out what is left of `order`. A run that had to be handed over is taken up again.
    async fn carry_out(&self, order: &Order) -> Result<Outcome> {
        let (workflow, setting) = (self.deployment(order)?, setting(&self.root, order)?);
        let mut approved = None;
        if self.standing(order).await? == Standing::Unknown {
            match workflow.plan(&setting).await {
                Ok(proposed) => {
                    approved =
                        Some(proposed.approve(&Approvals::none()).map_err(|missing| anyhow!("{missing:?}"))?);
                }
                Err(refused) => return self.told(order, &[], Err(Stopped::NotBegun(refused.into()))).await,
            }
            if let Some(earlier) = &order.earlier
                && self.standing(earlier).await? == Standing::Warm
            {
                // Its way back ends where the next deployment begins.
                self.conclude(earlier).await?;
            }
        }
        let old = self.instances().await?;
        let mut tries = 1..=TRIES;
        loop {
            let durable = self.durable(&order.run);
            let ended = match approved.take() {
                Some(approved) => until_verified(&setting, workflow.run(approved, &durable)).await,
                None if matches!(self.standing(order).await?, Standing::Warm | Standing::Completed) => Ok(()),
                None => until_verified(&setting, workflow.carry_on(&setting, &durable)).await,
            };
            durable.close().await;
            match ended {
                Err(Stopped::HandedOver(_)) if tries.next().is_some() => {}
                ended => return self.told(order, &old, ended).await,
            }
        }
    }

    /// Undoes the latest deployment: back to the colour that is kept warm.
    pub(crate) async fn roll_back(&self) -> Result<Outcome> {
        let Some(order) = self.begun().await? else {
            return Ok(Outcome::refused(None, "nothing was deployed"));
        };
        if !matches!(self.standing(&order).await?, Standing::UnderWay | Standing::Warm) {
            return Ok(Outcome::refused(
                Some(order.release),
                "no earlier colour is kept: deploy the earlier release",
            ));
        }
        let (workflow, setting) = (self.deployment(&order)?, setting(&self.root, &order)?);
        let old = self.instances().await?;
        let durable = self.durable(&order.run);
        let ended = match workflow
            .roll_back(&setting, &durable, &Actor::new("ann")?, "a rollback was asked for")
            .await?
        {
            Undone::RolledBack(report) => Stopped::RolledBack { error: None, report },
            Undone::Parked(parked) => Stopped::Parked { error: None, parked },
        };
        let mut outcome = self.told(&order, &old, Err(ended)).await?;
        if outcome.outcome != Ended::Parked {
            (outcome.outcome, outcome.reason) = (Ended::RolledBack, Some("it was asked for".to_owned()));
        }
        Ok(outcome)
    }

    /// Gives the latest release `percent` of the traffic and the kept one the rest.
    pub(crate) async fn shift(&self, percent: u8) -> Result<Outcome> {
        let Some(order) = self.begun().await? else {
            return Ok(Outcome::refused(None, "nothing was deployed"));
        };
        let workflow = share(&self.world, &self.root, percent, &self.watch)?;
        let setting = Setting { keep_warm: Duration::ZERO, ..setting(&self.root, &order)? };
        let old = self.instances().await?;
        let run = RunId::new(format!("shift-{}", self.world.clock.now().as_millisecond()))?;
        let durable = self.durable(&run);
        let approved = shop::approved(&workflow, &setting).await?;
        let ended = workflow.run(approved, &durable).await.map(drop);
        self.told(&order, &old, ended).await
    }

    /// Says what serves.
    pub(crate) async fn status(&self) -> Result<Outcome> {
        let weights = self.world.router.routing(&self.world.config.app.name).await?.weights()?;
        let order = self.begun().await?;
        let standing = match &order {
            Some(order) => self.standing(order).await?,
            None => Standing::Unknown,
        };
        let running = self.instances().await?;
        let reason = format!("{weights}; the latest run is {standing:?}; {} instances run", running.len());
        let serves = order.filter(|order| weights.share(&order.version) > 0);
        let release = serves.as_ref().map(|order| order.release.clone());
        let (new, old): (Vec<_>, Vec<_>) = running
            .iter()
            .partition(|instance| serves.as_ref().is_some_and(|order| instance.version == order.version));
        let ended = if weights.is_empty() { Ended::Refused } else { Ended::Deployed };
        Ok(self.outcome(ended, release, Some(reason), pids(old), pids(new)))
    }

    fn deployment(&self, order: &Order) -> Result<Workflow> {
        deployment(&self.world, &self.root, order, &self.watch)
    }

    fn durable(&self, run: &RunId) -> Journaled<SqliteJournal> {
        Journaled::new(self.store.clone(), run.clone()).ttl(LEASE).patience(LEASE * 3)
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        Ok(self.world.processes.instances(&self.world.config.app.name).await?)
    }

    /// The latest order that was begun: one whose plan was refused leaves the one before it as it was.
    async fn begun(&self) -> Result<Option<Order>> {
        let latest = self.orders.latest()?;
        Ok(match latest {
            Some(order) if self.standing(&order).await? == Standing::Unknown => {
                order.earlier.map(|earlier| *earlier)
            }
            latest => latest,
        })
    }

    async fn standing(&self, order: &Order) -> Result<Standing> {
        Standing::of(&order.run, &self.store).await
    }

    /// Ends the colour that an earlier deployment keeps warm.
    async fn conclude(&self, earlier: &Order) -> Result<()> {
        let workflow = deployment(&self.world, &self.root, earlier, &Stopwatch::default())?;
        workflow.conclude(&setting(&self.root, earlier)?, &self.durable(&earlier.run)).await?;
        Ok(())
    }

    /// How a run of `order` ended that found `old` instances.
    async fn told(&self, order: &Order, old: &[Instance], ended: Result<(), Stopped>) -> Result<Outcome> {
        let (ended, reason) = match ended {
            Ok(()) => (Ended::Deployed, None),
            Err(Stopped::Parked { error, parked }) => {
                let what = error.map_or_else(|| "the undo did not end".to_owned(), |error| chain(&error));
                let standing =
                    parked.standing.iter().map(|one| format!("; {} still stands: {}", one.step, one.reason));
                (Ended::Parked, Some(standing.fold(what, |what, one| what + &one)))
            }
            Err(Stopped::RolledBack { error, .. }) => {
                let met = self.watch.switched().is_some();
                let ended = if met { Ended::RolledBack } else { Ended::Refused };
                (ended, error.map(|error| chain(&error)))
            }
            Err(Stopped::NotBegun(refused)) => (Ended::Refused, Some(chain(&refused))),
            Err(other) => (Ended::Parked, Some(chain(&other))),
        };
        self.watch.drained(self.world.config.app.drain_within()).await;
        let new = self.instances().await?;
        let new = new.iter().filter(|instance| instance.version == order.version);
        let old = old.iter().filter(|instance| instance.version != order.version);
        Ok(self.outcome(ended, Some(order.release.clone()), reason, pids(old), pids(new)))
    }

    fn outcome(
        &self,
        outcome: Ended,
        release: Option<String>,
        reason: Option<String>,
        old_pids: Vec<u32>,
        new_pids: Vec<u32>,
    ) -> Outcome {
        let mut times = self.watch.times();
        times.total = ms(self.begun.elapsed());
        Outcome { outcome, release, reason, old_pids, new_pids, ms: times }
    }
}

fn pids<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Vec<u32> {
    instances.into_iter().filter_map(|instance| instance.pid).collect()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How `run` ended, or that its last stage is finished: from then on only the old colour is kept.
async fn until_verified(
    setting: &Setting,
    run: impl Future<Output = Result<Report, Stopped>>,
) -> Result<(), Stopped> {
    let mut events = setting.events.subscribe();
    let verified = async move {
        while let Some(next) = events.next().await {
            if let Next::Event(event) = next
                && let EventKind::Recorded { entry } = &event.kind
                && matches!(**entry, Entry::StageFinished { stage: StageName::Verify })
            {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = run => ended.map(drop),
        () = verified => Ok(()),
    }
}
