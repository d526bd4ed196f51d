//! The eight stages of one release of the shop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flow_core::gate::{OnSilence, Thresholds};
use flow_core::port::{AssetStore, Gauge, Migrator, ProcessManager, RuleSet, SecurityCheck};
use flow_core::stage::{
    Build, BuildActivity, MonitoringActivity, Prepare, PrepareActivity, ServicesActivity, Verify,
    VerifyActivity,
};
use flow_core::steps::{
    ApplyAlertRules, BuildArtifacts, CheckFunctions, CheckJourney, CheckSecurity, ConfirmOrder,
    ConfirmRollbackPlan, ConfirmScope, Expectation, FunctionCode, FunctionRelease, FunctionTest, HandOver,
    InspectEnvironment, MeasureFigures, MeasurePerformance, PageLoad, SiteFiles, TestNotification,
    VerifySource, WriteConfiguration, WriteDocuments, function, migrations, site,
};
use flow_core::strategy::BlueGreen;
use flow_core::{Actor, Environment, InvalidActor, Name, Work, Workflow, name};
use serde_json::json;

use crate::figures::{Machine, Pulse, Queries};
use crate::guard::{FileModes, Loopback};
use crate::world::{BAKE, Place, World};

const EMERGENCY: &str = "call the shop's on-call engineer; `deploy resume` goes on from the journal";

/// A release's own checkout: what a plan is made from before anything is built.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    pub(crate) release: Name,
    directory: PathBuf,
}

impl Checkout {
    /// Clones the release's tag beside the repository, unless that was done before.
    pub(crate) async fn of(world: &World, release: &Name) -> Result<Self> {
        let directory = world.root.join("checkouts").join(release.as_str());
        if !directory.exists() {
            let beside = world.root.join("checkouts").join(format!("{release}.{}", std::process::id()));
            let status = tokio::process::Command::new("git")
                .args(["clone", "--quiet", "--depth=1", "--branch"])
                .arg(format!("v{release}"))
                .arg("--")
                .arg(format!("file://{}", world.repository().display()))
                .arg(&beside)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await
                .context("`git`")?;
            ensure!(status.success(), "`git clone` of v{release} ended with {status}");
            std::fs::rename(&beside, &directory)?;
        }
        Ok(Self { release: release.clone(), directory })
    }

    pub(crate) fn migrations(&self) -> PathBuf {
        self.directory.join("migrations")
    }

    /// The site's files as users load them.
    fn pages(&self, site: &str) -> Result<Vec<Expectation>> {
        let directory = self.directory.join("site");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&directory).with_context(|| format!("`{}`", directory.display()))? {
            names.extend(entry?.file_name().into_string().ok());
        }
        // The document first, then what it names.
        names.sort_by_key(|name| (name != "index.html", name.clone()));
        Ok(names.into_iter().map(|name| Expectation::of(format!("{site}/{name}"))).collect())
    }

    fn rules(&self) -> Result<RuleSet> {
        let path = self.directory.join("monitoring/rules.yml");
        let rules = std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
        Ok(RuleSet { name: name!("shop"), rules })
    }
}

/// Who watches the run, beside the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// A gate watches the switch by what users get, and the downtime is measured.
    Gate,
    /// Nobody: there are no users yet, so nobody is without service, and a gate without evidence never passes.
    Nobody,
}

/// All eight stages. Development only builds: it has no database, no site and no users.
pub(crate) fn workflow(
    place: &Place,
    checkout: &Checkout,
    watch: Watch,
    pulse: Option<Arc<Pulse>>,
) -> Result<Workflow> {
    if place.environment == Environment::Development {
        development(place, checkout)
    } else {
        serving(place, checkout, watch, pulse)
    }
}

fn build(place: &Place, checkout: &Checkout) -> Result<Work<Build>> {
    let git = place.world.source()?;
    let configuration = json!({ "environment": place.environment, "release": checkout.release }).to_string();
    Ok(Work::step(VerifySource::new(git.clone(), "v{release}"))
        .then(BuildArtifacts::new(git, place.world.builder()?, "v{release}"))
        .then(WriteConfiguration::new(place.configuration(), name!("shop.json"), configuration))
        .without(BuildActivity::Image, "the programs run without a container")
        .by(ann()?))
}

fn development(place: &Place, checkout: &Checkout) -> Result<Workflow> {
    Ok(Workflow {
        prepare: Work::step(ConfirmScope::new())
            .then(ConfirmOrder::new())
            .then(ConfirmRollbackPlan::new(EMERGENCY))
            .without(PrepareActivity::EnvironmentState, "nothing stands in development")
            .by(ann()?),
        build: build(place, checkout)?,
        migrate: Work::not_applicable("development has no database").by(ann()?),
        assets: Work::not_applicable("development has no site").by(ann()?),
        services: Work::not_applicable("development runs no service").by(ann()?),
        functions: Work::not_applicable("development runs no function").by(ann()?),
        monitoring: Work::not_applicable("development is not watched").by(ann()?),
        verify: Work::step(WriteDocuments::new(place.documents(), name!("change-record.md")))
            .without(VerifyActivity::Functional, "nothing runs in development")
            .by(ann()?)
            .without(VerifyActivity::Performance, "nothing runs in development")
            .by(ann()?)
            .without(VerifyActivity::UserJourney, "nothing runs in development")
            .by(ann()?)
            .without(VerifyActivity::Handover, "developers hand over to nobody")
            .by(ann()?),
    })
}

fn serving(place: &Place, checkout: &Checkout, watch: Watch, pulse: Option<Arc<Pulse>>) -> Result<Workflow> {
    let (processes, router) = (place.processes()?, place.router()?);
    let database: Arc<dyn Migrator> = place.migrator(checkout.migrations())?;
    let assets: Arc<dyn AssetStore> = place.assets();
    let inspect = InspectEnvironment::new()
        .processes(name!("web"), processes.clone())
        .traffic(name!("web"), router.clone())
        .database(database.clone());
    let rollout = |strategy| Work::rollout(strategy, place.service());
    let watched = match watch {
        Watch::Gate => {
            rollout(BlueGreen { bake: BAKE, ..BlueGreen::default() }).watched_by(router.clone(), thresholds())
        }
        Watch::Nobody => rollout(place.world.unwatched.clone()),
    };
    Ok(Workflow {
        prepare: prepare(inspect, security(place)?),
        build: build(place, checkout)?,
        migrate: migrations(database),
        assets: site(
            assets,
            place.cdn()?,
            place.prober(),
            SiteFiles::Artifact(name!("site")),
            place.site_url()?,
        ),
        services: watched
            .on(processes.clone(), router)
            .without(ServicesActivity::InstallDependencies, "one program without dependencies")
            .by(ann()?),
        functions: function(place.functions()?, receipt_function(place)),
        monitoring: Work::step(ApplyAlertRules::new(place.rules(), checkout.rules()?))
            .then(TestNotification::new(place.notifier()?, "the shop's channel"))
            .without(MonitoringActivity::Logs, "the programs log to files that the host collects")
            .by(ann()?)
            .without(MonitoringActivity::Apm, "no tracing in this application yet")
            .by(ann()?)
            .without(MonitoringActivity::Dashboards, "the dashboard shows every version by itself")
            .by(ann()?),
        verify: verify(place, checkout, processes, pulse)?,
    })
}

fn ann() -> Result<Actor, InvalidActor> {
    Actor::new("ann")
}

fn prepare(inspect: InspectEnvironment, security: CheckSecurity) -> Work<Prepare> {
    Work::step(ConfirmScope::new())
        .then(inspect)
        .then(security)
        .then(ConfirmOrder::new())
        .then(ConfirmRollbackPlan::new(EMERGENCY))
}

/// What must be closed: ports to other machines, files to other users.
fn security(place: &Place) -> Result<CheckSecurity> {
    let ports = place.ports()?;
    let world = &place.world;
    let open = vec![world.root.clone(), world.repository(), place.root.clone(), place.database()];
    let checks: [Arc<dyn SecurityCheck>; 2] = [
        Arc::new(Loopback { ports: vec![ports.proxy, ports.site, ports.webhook] }),
        Arc::new(FileModes { open, vault: world.root.join("vault") }),
    ];
    Ok(CheckSecurity::new(checks))
}

/// What the new colour must show while it bakes.
fn thresholds() -> Thresholds {
    Thresholds {
        max_failure_ratio: 0.001,
        max_p99_ms: Some(500),
        min_requests: 100,
        on_insufficient: OnSilence::Wait { times: 5 },
        on_provider_error: OnSilence::Abort,
    }
}

/// The function that writes a customer's receipt.
fn receipt_function(place: &Place) -> FunctionRelease {
    FunctionRelease {
        name: name!("receipt"),
        code: FunctionCode::Artifact(name!("function")),
        triggers: BTreeMap::from([(name!("paid"), "queue orders.paid".to_owned())]),
        variables: BTreeMap::from([("SHOP_ENVIRONMENT".to_owned(), place.environment.to_string())]),
        test: FunctionTest::new(json!({ "order": 1, "amount_cents": 1_250 })),
    }
}

fn verify(
    place: &Place,
    checkout: &Checkout,
    processes: Arc<dyn ProcessManager>,
    pulse: Option<Arc<Pulse>>,
) -> Result<Work<Verify>> {
    let release = &checkout.release;
    let clock = place.world.clock.clone();
    let mut gauges: Vec<Arc<dyn Gauge>> = vec![
        Arc::new(PageLoad::new(place.prober(), checkout.pages(&place.site_url()?)?)),
        Arc::new(Queries { database: place.database(), clock: clock.clone() }),
        Arc::new(Machine { processes, clock }),
    ];
    gauges.extend(pulse.map(|pulse| pulse as Arc<dyn Gauge>));
    let web = place.web_url()?;
    let get = |path: &str| Expectation::of(format!("{web}{path}")).answered_within(Duration::from_secs(5));
    let prober = place.prober();
    Ok(Work::step(CheckFunctions::new(
        prober.clone(),
        [get("/health"), get("/version").containing(release.as_str()), get("/api/orders")],
    ))
    .then(MeasurePerformance::new(prober.clone(), get("/api/total")).requests(200).concurrency(4))
    .then(MeasureFigures::new(gauges))
    .then(CheckJourney::new(prober, [get("/health"), get("/api/orders"), get("/api/total")]))
    .then(WriteDocuments::new(place.documents(), name!("change-record.md")))
    .then(HandOver::new(place.notifier()?, "Watch the alert `ShopErrors` for a day.")))
}
