//! The main job: four versions of the shop, two environments, users who never stop asking.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use flow_core::plan::PlanProblem;
use flow_core::policy::Violation;
use flow_core::port::{Builder, Source, SourceRequest};
use flow_core::{Digest, Environment, Name};

use crate::controller::{Controller, Ended, Order, Trial};
use crate::load::{Load, LoadPlan, LoadReport};
use crate::outside::{Outside, Snapshot, Tree};
use crate::release::Watch;
use crate::seed::{Orders, Seeded};
use crate::setup::{first_release, set_up, take_down};
use crate::world::{Place, World};

/// What the job showed, worst first: the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    AsPromised = 0,
    GoodReleaseDidNotComplete = 10,
    RequestFailed = 11,
    BadReleaseNotTakenBack = 12,
    UnprovedReleaseNotRefused = 13,
}

/// Carries the job out in a world of its own below a temporary directory, and takes that world down again.
pub(crate) async fn carry_out(reports: &Path) -> Result<Verdict> {
    let directory = tempfile::Builder::new().prefix("flow-").tempdir()?;
    let world = World::at(directory.path(), None);
    let clock = world.clock.clone();
    let job =
        Job { controller: Controller { world, reports: reports.to_path_buf(), trial: Trial::default() } };
    let verdict = tokio::select! {
        verdict = job.carry_out() => verdict,
        // Ctrl-C ends the job; the processes that it started go with it.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    take_down(directory.path(), &*clock).await?;
    verdict
}

struct Job {
    controller: Controller,
}

impl Job {
    async fn carry_out(&self) -> Result<Verdict> {
        let begun = Instant::now();
        let (staging, production) = (Environment::Staging, Environment::Production);
        set_up(&self.controller.world, &[staging, production]).await?;
        println!("1.0.0 goes to staging and production for the first time; then users come.");
        let order = self.order(staging, "1.0.0", Watch::Nobody).await?;
        let in_staging = first_release(&self.controller, &order, Orders::Staging).await?;
        let order = self.order(production, "1.0.0", Watch::Nobody).await?;
        let in_production = first_release(&self.controller, &order, Orders::Production).await?;

        println!("1.1.0 replaces it in staging, and then in production.");
        let verdict = self.good(in_staging, in_production).await?;
        if verdict != Verdict::AsPromised {
            return Ok(verdict);
        }
        println!("1.2.0 passes staging. In production there are refunds, which it cannot read.");
        let verdict = self.bad(in_staging, in_production).await?;
        if verdict != Verdict::AsPromised {
            return Ok(verdict);
        }
        println!("1.3.0 was built, but never went through staging.");
        let verdict = self.unproved().await?;
        println!("Took {:.1} s.", begun.elapsed().as_secs_f64());
        Ok(verdict)
    }

    /// 1.1.0 in both environments: not one request may fail.
    async fn good(&self, in_staging: Seeded, in_production: Seeded) -> Result<Verdict> {
        for (environment, seeded) in
            [(Environment::Staging, in_staging), (Environment::Production, in_production)]
        {
            let users = self.users(environment, seeded)?;
            let ended = self.controller.deploy(&self.order(environment, "1.1.0", Watch::Gate).await?).await;
            let met = users.stop().await;
            let completed = self.tell(environment, "1.1.0", &ended?, &met)?;
            if !completed {
                return Ok(Verdict::GoodReleaseDidNotComplete);
            }
            if !met.is_flawless() {
                return Ok(Verdict::RequestFailed);
            }
        }
        Ok(Verdict::AsPromised)
    }

    /// 1.2.0: good in staging, taken back in production by itself and whole.
    async fn bad(&self, in_staging: Seeded, in_production: Seeded) -> Result<Verdict> {
        let users = self.users(Environment::Staging, in_staging)?;
        let ended =
            self.controller.deploy(&self.order(Environment::Staging, "1.2.0", Watch::Gate).await?).await;
        let met = users.stop().await;
        if !self.tell(Environment::Staging, "1.2.0", &ended?, &met)? {
            return Ok(Verdict::GoodReleaseDidNotComplete);
        }
        if !met.is_flawless() {
            return Ok(Verdict::RequestFailed);
        }
        let place = self.place(Environment::Production);
        let before = snapshot(&place).await?;
        let users = self.users(Environment::Production, in_production)?;
        let ended =
            self.controller.deploy(&self.order(Environment::Production, "1.2.0", Watch::Gate).await?).await;
        let met = users.stop().await;
        let ended = ended?;
        self.tell(Environment::Production, "1.2.0", &ended, &met)?;
        let differences = before.differences(&snapshot(&place).await?);
        for difference in &differences {
            println!("  left behind: {difference}");
        }
        let others =
            met.by_version.iter().filter(|(version, _)| *version != "1.2.0").map(|(_, tally)| tally.failed);
        let lost = others.sum::<u64>();
        println!(
            "  failed requests of other versions: {lost}; schema, rows, files, processes and weights compared from outside"
        );
        if !matches!(ended, Ended::RolledBack(_)) || !differences.is_empty() {
            return Ok(Verdict::BadReleaseNotTakenBack);
        }
        Ok(if lost == 0 { Verdict::AsPromised } else { Verdict::RequestFailed })
    }

    /// 1.3.0 is built in development only: production's plan is refused, and nothing is changed.
    async fn unproved(&self) -> Result<Verdict> {
        let built = self
            .controller
            .deploy(&self.order(Environment::Development, "1.3.0", Watch::Nobody).await?)
            .await?;
        if let Ended::Refused(refused) = &built {
            bail!("1.3.0 cannot be built: {refused}");
        }
        ensure!(matches!(built, Ended::Completed(_)), "1.3.0 was not built: code {}", built.code());
        let place = self.place(Environment::Production);
        let before = snapshot(&place).await?;
        let ended =
            self.controller.deploy(&self.order(Environment::Production, "1.3.0", Watch::Gate).await?).await?;
        let Ended::Refused(refused) = ended else { return Ok(Verdict::UnprovedReleaseNotRefused) };
        println!("  refused: {refused}");
        let unproved = |problem: &PlanProblem| {
            let PlanProblem::Violation(violation) = problem else { return false };
            matches!(violation, Violation::NotProved { .. } | Violation::ScriptNotRun { .. })
        };
        let untouched = before.differences(&snapshot(&place).await?).is_empty();
        let refused = untouched && refused.problems.iter().all(unproved);
        Ok(if refused { Verdict::AsPromised } else { Verdict::UnprovedReleaseNotRefused })
    }

    fn place(&self, environment: Environment) -> Place {
        self.controller.world.place(environment)
    }

    /// Production names what it deploys, by digest: what the build gave when staging had it built.
    async fn order(&self, environment: Environment, version: &str, watch: Watch) -> Result<Order> {
        let release = Name::new(version)?;
        let artifacts = match environment {
            Environment::Production => self.built(&release).await?,
            _ => Vec::new(),
        };
        Ok(Order { environment, release, artifacts, watch })
    }

    async fn built(&self, release: &Name) -> Result<Vec<Digest>> {
        let request = SourceRequest { tag: format!("v{release}") };
        let version = self.controller.world.source()?.resolve(&request).await?;
        let built = self.controller.world.builder()?.find(&version).await?;
        let built = built.with_context(|| format!("{release} was never built"))?;
        Ok(built.artifacts.values().map(|artifact| artifact.digest).collect())
    }

    fn users(&self, environment: Environment, seeded: Seeded) -> Result<Load> {
        let address = ([127, 0, 0, 1], self.place(environment).ports()?.proxy).into();
        Ok(Load::start(LoadPlan { address, workers: 8, per_second: 300, orders: seeded.orders }))
    }

    /// One paragraph for people; whether the run completed.
    fn tell(&self, environment: Environment, version: &str, ended: &Ended, met: &LoadReport) -> Result<bool> {
        let order =
            Order { environment, release: Name::new(version)?, artifacts: Vec::new(), watch: Watch::Gate };
        let end = match ended {
            Ended::Completed(_) => "completed",
            Ended::RolledBack(_) => "rolled back",
            Ended::Parked(_) => "parked",
            Ended::Held => "held",
            Ended::Refused(refused) => {
                println!("  refused: {refused}");
                "refused"
            }
        };
        println!(
            "  {version} in {environment}: {end}; {} of {} requests failed, longest gap {} ms, p99 {} ms",
            met.all.failed,
            met.all.sent,
            met.longest_gap.as_millis(),
            met.p99.as_millis()
        );
        for failure in met.failures.iter().take(3) {
            println!("    {failure}");
        }
        println!("  report: {}", self.controller.directory(&order.run()?).join("report.md").display());
        Ok(matches!(ended, Ended::Completed(_)))
    }
}

/// The environment as it looks from outside: schema and rows, files, processes, and who answers users.
async fn snapshot(place: &Place) -> Result<Snapshot> {
    let tree = |name: &str| {
        let root = place.root.join(name);
        // What the site's store keeps for the way back is not served.
        Tree { root, except: vec![".flow".into()] }
    };
    let outside = Outside {
        databases: vec![place.database()],
        trees: ["site", "rules", "configuration", "documents", "functions"].map(tree).to_vec(),
        processes_below: vec![place.root.clone()],
        proxies: vec![([127, 0, 0, 1], place.ports()?.proxy).into()],
        samples: 200,
    };
    Ok(outside.snapshot().await?)
}
