//! All standard steps in one workflow, through the engine.

use std::sync::Arc;

use flow_core::durable::Journaled;
use flow_core::gate::StandardGate;
use flow_core::journal::MemoryJournal;
use flow_core::plan::{Approvals, Plan, PlanProblem};
use flow_core::port::{Command, Gauge, Router, RuleSet, SecurityAspect, SecurityCheck};
use flow_core::stage::{MonitoringActivity, Prepare, Services, StageName, Verify};
use flow_core::steps::{
    ApplyAlertRules, BuildArtifacts, CheckFunctions, CheckJourney, CheckSecurity, ConfirmOrder,
    ConfirmRollbackPlan, ConfirmScope, Expectation, FunctionCode, FunctionRelease, FunctionTest, HandOver,
    InspectEnvironment, InstallDependencies, MeasureFigures, MeasurePerformance, PushImage, SiteFiles,
    TestNotification, VerifySource, WriteConfiguration, WriteDocuments, function, migrations, site,
};
use flow_core::strategy::BlueGreen;
use flow_core::{
    Actor, Digest, Environment, Name, RunId, Service, Setting, Stopped, Weights, Work, Workflow, name,
};
use flow_testkit::fake::{FakeFleet, MemoryEvidence, MemoryVault, VirtualClock};
use serde_json::json;

use crate::world::{Dial, Guard, SITE, World, migration};

pub(crate) const APP: &str = "https://app.test/";

/// What the dials show on a good day, and what only they measure.
pub(crate) const DIALS: [(StandardGate, f64); 4] = [
    (StandardGate::Downtime, 0.0),
    (StandardGate::PageLoad, 800.0),
    (StandardGate::DatabaseQuery, 12.0),
    (StandardGate::ResourceUse, 41.5),
];

/// A shop with two services, a database, a site and a function.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) fleet: FakeFleet,
    /// Where the site's files come from, if not from the build.
    pub(crate) files: Option<SiteFiles>,
    vault: MemoryVault,
    pub(crate) evidence: MemoryEvidence,
}

fn ann() -> Actor {
    Actor::new("ann").unwrap()
}

impl Shop {
    /// Release 1.0.0 is tagged, and nothing is deployed.
    pub(crate) fn new() -> Self {
        let shop = Self {
            world: World::new(),
            fleet: FakeFleet::new(),
            files: None,
            vault: MemoryVault::default(),
            evidence: MemoryEvidence::default(),
        };
        shop.release("1.0.0", 1);
        shop
    }

    /// Another world, such as another environment of the same shop: only what runs proved is shared.
    pub(crate) fn beside(&self) -> Self {
        Self { evidence: self.evidence.clone(), ..Self::new() }
    }

    /// The security checks of these aspects.
    pub(crate) fn checks(&self, aspects: &[SecurityAspect]) -> CheckSecurity {
        let guard = |aspect: &SecurityAspect| Arc::new(Guard(self.world.clone(), *aspect));
        CheckSecurity::new(aspects.iter().map(guard).map(|guard| guard as Arc<dyn SecurityCheck>))
    }

    /// Stage 1 with the security checks of these aspects.
    pub(crate) fn prepared(&self, aspects: &[SecurityAspect]) -> Work<Prepare> {
        let (world, fleet) = (Arc::new(self.world.clone()), Arc::new(self.fleet.clone()));
        let inspect = InspectEnvironment::new()
            .processes(name!("web"), fleet.clone())
            .traffic(name!("web"), fleet)
            .database(Arc::new(world.database.clone()))
            .probe(name!("app"), world, Expectation::of(APP).containing("welcome"));
        Work::step(ConfirmScope::new())
            .then(inspect)
            .then(self.checks(aspects))
            .then(ConfirmOrder::new())
            .then(ConfirmRollbackPlan::new("call 555"))
    }

    /// Stage 8 with a dial for each of these figures.
    pub(crate) fn verified(&self, gates: &[StandardGate]) -> Work<Verify> {
        let world = Arc::new(self.world.clone());
        let app = || Expectation::of(APP).containing("welcome");
        let dial = |gate: &StandardGate| Arc::new(Dial(self.world.clone(), *gate)) as Arc<dyn Gauge>;
        let checked = Work::step(CheckFunctions::new(world.clone(), [app()]))
            .then(MeasurePerformance::new(world.clone(), app()))
            .then(MeasureFigures::new(gates.iter().map(dial)));
        checked
            .then(CheckJourney::new(world.clone(), [app()]))
            .then(WriteDocuments::new(world.clone(), name!("change.md")))
            .then(HandOver::new(world, "Watch the queue."))
    }

    /// Makes `version` the release that a build gives, with as many migrations.
    pub(crate) fn release(&self, version: &str, migrations: u32) {
        let content = |name: &str| format!("{name} {version}").into_bytes();
        let built = |name: &str| format!("/releases/{}", Digest::of(&content(name)).hex());
        let World { source, builder, assets, functions, database, .. } = &self.world;
        source.tag(format!("v{version}"), Digest::of(version.as_bytes()).hex());
        builder.yields(["web", "db", "site", "resize"].map(|name| (Name::new(name).unwrap(), content(name))));
        assets.lay_out(built("site"), [("index.html", content("page"))]);
        functions.answer(functions.lay_out(built("resize"), &content("resize")), json!(version));
        (1..=migrations).for_each(|number| database.write(migration(&number.to_string())));
        self.world.state().figures = DIALS.into();
        self.world.page(APP, 200, "welcome", 5);
    }

    pub(crate) fn setting(&self, release: Name) -> Setting {
        let mut setting = Setting::new(name!("shop"), Environment::Staging, release, ann());
        setting.clock = Arc::new(VirtualClock::new());
        setting.vault = Some(Arc::new(self.vault.clone()));
        setting.evidence = Some(Arc::new(self.evidence.clone()));
        setting
    }

    pub(crate) fn workflow(&self, release: &Name) -> Workflow {
        let (world, fleet) = (Arc::new(self.world.clone()), Arc::new(self.fleet.clone()));
        let (source, builder) = (Arc::new(world.source.clone()), Arc::new(world.builder.clone()));
        let (assets, cdn) = (Arc::new(world.assets.clone()), Arc::new(world.cdn.clone()));
        let database = Arc::new(world.database.clone());
        let files = self.files.clone().unwrap_or(SiteFiles::Artifact(name!("site")));
        let resize = FunctionRelease {
            name: name!("resize"),
            code: FunctionCode::Artifact(name!("resize")),
            triggers: [(name!("nightly"), "0 3 * * *".to_owned())].into(),
            variables: [("RELEASE".to_owned(), release.to_string())].into(),
            test: FunctionTest::new(json!({})).returning(json!(release)),
        };
        let rules = RuleSet { name: name!("shop"), rules: format!("groups: [{release}]") };
        Workflow {
            prepare: self.prepared(&[SecurityAspect::Configuration, SecurityAspect::Permissions]),
            build: Work::step(VerifySource::new(source.clone(), "v{release}"))
                .then(BuildArtifacts::new(source.clone(), builder, "v{release}"))
                .then(WriteConfiguration::new(world.clone(), name!("shop.toml"), format!("v = {release}")))
                .then(PushImage::new(
                    Arc::new(world.images.clone()),
                    source,
                    "v{release}",
                    "registry.test/shop:{release}",
                )),
            migrate: migrations(database),
            assets: site(assets, cdn, world.clone(), files, SITE),
            services: Self::services(&world, &fleet, release),
            functions: function(Arc::new(world.functions.clone()), resize),
            monitoring: Work::step(ApplyAlertRules::new(world.clone(), rules))
                .then(TestNotification::new(world.clone(), "the pager"))
                .without(MonitoringActivity::Logs, "files suffice")
                .by(ann())
                .without(MonitoringActivity::Apm, "no tracing yet")
                .by(ann())
                .without(MonitoringActivity::Dashboards, "none yet")
                .by(ann()),
            verify: self.verified(&DIALS.map(|(gate, _)| gate)),
        }
    }

    fn services(world: &Arc<World>, fleet: &Arc<FakeFleet>, release: &Name) -> Work<Services> {
        let clean = Command::new("clean", ["npm", "ci", release.as_str()]);
        let install = InstallDependencies::new(world.clone(), Command::new("npm", ["ci", release.as_str()]))
            .undone_by(clean);
        let web = Service { needs: vec![name!("db")], ..Service::new(name!("web")) };
        let rollout = |service| Work::rollout(BlueGreen::default(), service).on(fleet.clone(), fleet.clone());
        Work::step(install).then_work(rollout(web)).then_work(rollout(Service::new(name!("db"))))
    }

    pub(crate) async fn plan(&self) -> Plan {
        let release = name!("1.0.0");
        Plan::clone(&*self.workflow(&release).plan(&self.setting(release)).await.unwrap())
    }

    pub(crate) async fn deploy(&self, release: Name) -> Result<flow_core::report::Report, Stopped> {
        let workflow = self.workflow(&release);
        self.deploy_by(workflow, release).await
    }

    pub(crate) async fn deploy_by(
        &self,
        workflow: Workflow,
        release: Name,
    ) -> Result<flow_core::report::Report, Stopped> {
        let journal = Journaled::new(Arc::new(MemoryJournal::new()), RunId::new(release.as_str()).unwrap());
        let approved =
            workflow.plan(&self.setting(release)).await.unwrap().approve(&Approvals::none()).unwrap();
        workflow.run(approved, &journal).await
    }

    pub(crate) async fn weights(&self) -> Weights {
        self.fleet.routing(&name!("web")).await.unwrap().weights().unwrap()
    }

    pub(crate) fn page(&self) -> String {
        String::from_utf8(self.world.cdn.fetch("index.html").unwrap()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_standard_steps_carry_out_all_eight_stages() {
    let shop = Shop::new();
    shop.deploy(name!("1.0.0")).await.unwrap();
    assert_eq!(shop.weights().await, Weights::all_to(name!("1.0.0")));
    assert_eq!(shop.page(), "page 1.0.0");
    assert_eq!(shop.world.database.applied(), ["1"]);
    assert_eq!(shop.world.functions.live(&name!("resize")).as_deref(), Some("1"));
    assert_eq!(shop.world.ledger.refusals(), [""; 0]);
    let state = shop.world.state();
    assert_eq!(state.rules[&name!("shop")].rules, "groups: [1.0.0]");
    assert_eq!(state.documents[&name!("shop.toml")], b"v = 1.0.0");
    let record = String::from_utf8(state.documents[&name!("change.md")].clone()).unwrap();
    assert!(record.contains("- Service `web`: 1.0.0") && record.contains("- Function `resize`: version 1"));
    let titles: Vec<&str> = state.messages.values().map(|message| message.title.as_str()).collect();
    assert!(titles.contains(&"Deployed: shop 1.0.0 in staging"), "{titles:?}");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_its_verification_leaves_the_old_one_as_it_was() {
    let shop = Shop::new();
    shop.deploy(name!("1.0.0")).await.unwrap();
    let before = shop.world.seen();
    shop.release("1.1.0", 3);
    // Well while stage 1 looks at the old version, and broken once the new one serves.
    shop.world.pages(APP, [(200, "welcome", 5), (200, "welcome", 5), (200, "welcome", 5), (500, "", 5)]);
    let stopped = shop.deploy(name!("1.1.0")).await.unwrap_err();
    assert!(matches!(stopped, Stopped::RolledBack { .. }), "{stopped:?}");
    assert!(shop.world.changes().contains(&"functions.make_live resize".to_owned()), "it failed late");
    assert_eq!(shop.world.seen(), before);
    assert_eq!(shop.weights().await, Weights::all_to(name!("1.0.0")));
    assert_eq!(shop.page(), "page 1.0.0", "past every cache");
    assert_eq!(shop.evidence.all().len(), 1);
}

#[tokio::test]
async fn a_plan_without_a_vault_is_refused_with_everything_that_would_be_sealed() {
    let shop = Shop::new();
    let release = name!("1.0.0");
    let setting = Setting { vault: None, ..shop.setting(release.clone()) };
    let refused = shop.workflow(&release).plan(&setting).await.unwrap_err();
    let sealing: Vec<(StageName, Name)> = refused
        .problems
        .into_iter()
        .map(|problem| match problem {
            PlanProblem::NoVault { stage, step } => (stage, step),
            other => panic!("{other}"),
        })
        .collect();
    for service in [name!("db"), name!("web")] {
        assert!(sealing.contains(&(StageName::Services, service)), "{sealing:?}");
    }
    assert_eq!(shop.world.changes(), [""; 0]);
}
