//! A function replaced by flow-core's own canary: versions are the instances, the alias is the router, real callers are the evidence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::durable::Journaled;
use flow_core::gate::{OnSilence, Thresholds};
use flow_core::journal::MemoryJournal;
use flow_core::plan::Approvals;
use flow_core::port::{
    Health, HealthCheck, LaunchSpec, Metrics, ProcessManager, Route, Router, Routing, Sample,
};
use flow_core::receipt::BuildFacts;
use flow_core::stage::{Build, FunctionsActivity};
use flow_core::strategy::{BlueGreen, Canary, CanaryStep};
use flow_core::{
    Actor, Artifact, ErrorKind, Name, RunId, Service, Setting, StepError, Stopped, SystemClock, Timestamp,
    Work, Workflow, name,
};
use flow_testkit::cloud::Fault;
use flow_testkit::fake::FakeStep;
use flow_testkit::{World as Stage, permit};
use serde_json::json;

use crate::world::{SHOP, World, call};

/// What each release has answered: calls, and failures among them.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<Name, (u64, u64)>>>);

#[async_trait]
impl Metrics for Counted {
    async fn sample(&self, _: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        let counted = self.0.lock().unwrap().get(version).copied();
        Ok(counted.map(|(requests, failures)| Sample {
            at: Timestamp::now(),
            epoch: 1,
            requests,
            failures,
            bounds_ms: vec![1000],
            latency: vec![requests, 0],
        }))
    }
}

impl Counted {
    /// A release that fails so many of a hundred calls of its users. A smoke test never fails.
    fn release(&self, world: &World, version: &Name, fails_percent: u64) -> Artifact {
        let (counted, release) = (self.0.clone(), version.clone());
        world.package(version.as_str(), move |call| {
            if call.event.get("smoke").is_some() {
                return Ok(json!({ "code": release }));
            }
            let mut counted = counted.lock().unwrap();
            let (requests, failures) = counted.entry(release.clone()).or_default();
            let fails = *requests % 100 < fails_percent;
            *requests += 1;
            *failures += u64::from(fails);
            if fails { Err("boom".to_owned()) } else { Ok(json!({ "code": release })) }
        })
    }
}

fn workflow(stage: &Stage, world: &World, counted: &Counted, artifact: &Artifact, first: bool) -> Workflow {
    let artifacts = [(SHOP, artifact.clone())].into();
    let built = FakeStep::<Build>::in_ledger(name!("build"), stage.ledger());
    let gate = Thresholds {
        max_failure_ratio: 0.05,
        max_p99_ms: None,
        min_requests: 20,
        on_insufficient: OnSilence::Wait { times: 20 },
        on_provider_error: OnSilence::Abort,
    };
    let service = Service { drain_within: Duration::from_millis(50), ..Service::new(SHOP) };
    let versions = Arc::new(world.functions.versions().smoke(json!({ "smoke": true })));
    let alias = Arc::new(world.functions.alias());
    let steps = [20, 50, 100].map(|weight| CanaryStep { weight, dwell: Duration::from_millis(300) });
    let canary = Canary { steps: steps.to_vec(), ..Canary::default() };
    // Nobody calls before the first release is live: there is nothing to judge it by.
    let rollout = if first {
        Work::rollout(BlueGreen { bake: Duration::ZERO, ..BlueGreen::default() }, service)
    } else {
        Work::rollout(canary, service).watched_by(Arc::new(counted.clone()), gate)
    };
    use FunctionsActivity::{Code, FunctionVariables, Publish, Test, Triggers};
    let functions = rollout.covering([Code, FunctionVariables, Publish, Test]).on(versions, alias);
    let functions = functions.without(Triggers, "it is called by programs").by(Actor::new("ann").unwrap());
    Workflow {
        build: Work::step(built.giving(BuildFacts { artifacts, ..BuildFacts::default() })),
        functions,
        services: Work::not_applicable("there are functions only").by(Actor::new("ann").unwrap()),
        ..stage.workflow("any", BlueGreen::default()).unwrap()
    }
}

/// Carries out all eight stages, in real time: users call meanwhile.
async fn deploy(stage: &Stage, workflow: &Workflow, release: &str) -> Result<(), Stopped> {
    let clock = Arc::new(SystemClock::new());
    let setting = Setting { clock, ..stage.setting(release).unwrap() };
    let approved = workflow.plan(&setting).await.unwrap().approve(&Approvals::none()).unwrap();
    let durable = Journaled::new(Arc::new(MemoryJournal::new()), RunId::new(release).unwrap());
    workflow.run(approved, &durable).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_of_flow_promotes_a_good_function_and_takes_a_bad_one_back() {
    let (world, stage, counted) =
        (World::new().await, Stage::new().with_service("web", 1), Counted::default());
    let mut users = None;
    let mut ended = Vec::new();
    for (version, fails) in [("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 50)] {
        let artifact = counted.release(&world, &Name::new(version).unwrap(), fails);
        let workflow = workflow(&stage, &world, &counted, &artifact, users.is_none());
        ended.push(deploy(&stage, &workflow, version).await);
        users.get_or_insert_with(|| {
            let api = world.api.clone();
            tokio::spawn(async move {
                loop {
                    call(&api, &SHOP, "live", &json!({})).await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        });
    }
    users.unwrap().abort();
    let [first, good, bad] = ended.try_into().unwrap();
    first.unwrap();
    good.unwrap();
    assert!(matches!(bad, Err(Stopped::RolledBack { .. })), "{bad:?}");

    let router = world.functions.alias();
    let weights = router.routing(&SHOP).await.unwrap().weights().unwrap();
    assert_eq!(weights.to_string(), "1.1.0 100 %");
    let counted = counted.0.lock().unwrap().clone();
    let (bad, all) =
        (counted[&Name::new("1.2.0").unwrap()], counted.values().map(|(calls, _)| calls).sum::<u64>());
    assert!(bad.1 > 0 && bad.0 * 2 < all, "{counted:?}");
    let running = world.functions.versions().instances(&SHOP).await.unwrap();
    let running: Vec<_> = running.iter().map(|instance| instance.version.as_str()).collect();
    assert!(!running.contains(&"1.2.0") && running.contains(&"1.1.0"), "{running:?}");
    let answered = world.call(&SHOP, &json!({ "smoke": true })).await.unwrap();
    assert_eq!(answered["code"], "1.1.0");
}

#[tokio::test]
async fn a_version_that_an_alias_leads_to_is_not_stopped_and_launching_twice_is_one_version() {
    let world = World::new().await;
    let artifact = world.telling("one");
    let versions = world.functions.versions();
    let spec = LaunchSpec {
        service: SHOP,
        instance: name!("one-0"),
        version: name!("1.0.0"),
        digest: artifact.digest,
        program: artifact.path.clone(),
        args: Vec::new(),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        directory: "/".into(),
        health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(1) },
    };
    assert_eq!(versions.instances(&SHOP).await.unwrap(), []);
    let launched = versions.launch(&permit(), &spec).await.unwrap();
    assert_eq!(launched.address, "scf:shop/1");
    assert_eq!(versions.launch(&permit(), &spec).await.unwrap(), launched);
    assert_eq!(versions.instances(&SHOP).await.unwrap(), [launched]);
    let smoking = versions.clone().smoke(json!({}));
    world.cloud.fault(Fault::ScfInvoke { subject: ("shop".into(), "1".into()), times: 1 });
    let told = smoking.health(&SHOP, &spec.instance).await.unwrap();
    assert!(matches!(&told, Health::Unhealthy { reason } if reason.contains("fault")), "{told:?}");
    assert!(smoking.health(&SHOP, &spec.instance).await.unwrap().is_healthy());
    assert_eq!(versions.health(&SHOP, &name!("two-0")).await.unwrap(), Health::Gone);
    assert_eq!(versions.launched(&SHOP, &spec.instance).await.unwrap(), spec);
    let other = world.telling("two");
    let taken = LaunchSpec { digest: other.digest, program: other.path, ..spec.clone() };
    assert_eq!(versions.launch(&permit(), &taken).await.unwrap_err().kind(), ErrorKind::Conflict);

    let router = world.functions.alias();
    let route = Route { weight: 100, addresses: vec!["scf:shop/1".to_owned()] };
    let routing = Routing([(spec.version.clone(), route)].into());
    router.route(&permit(), &SHOP, &routing).await.unwrap();
    let refused = versions.stop(&permit(), &SHOP, &spec.instance, Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(world.answers().await.as_deref(), Some("one"));
    router.route(&permit(), &SHOP, &Routing::default()).await.unwrap();
    for _ in 0..2 {
        versions.stop(&permit(), &SHOP, &spec.instance, Duration::ZERO).await.unwrap();
    }
    assert_eq!(versions.instances(&SHOP).await.unwrap(), []);
}

#[tokio::test]
async fn a_function_whose_callers_are_on_what_no_rollout_launched_is_not_rolled_out() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    let artifact = world.telling("two");
    let spec = LaunchSpec {
        service: SHOP,
        instance: name!("two-0"),
        version: name!("2.0.0"),
        digest: artifact.digest,
        program: artifact.path,
        args: Vec::new(),
        env: BTreeMap::new(),
        directory: "/".into(),
        health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(1) },
    };
    let versions = world.functions.versions();
    let error = versions.launch(&permit(), &spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!((world.carried_out("UpdateFunctionCode"), world.carried_out("PublishVersion")), (0, 1));
    let own = world.opened(|config| flow_scf::ScfConfig { alias: "rollouts".into(), ..config }).versions();
    own.launch(&permit(), &spec).await.unwrap();
}
