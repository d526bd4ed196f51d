//! The world's own promises: what it lets a test say, and what it refuses.

use std::time::{Duration, Instant};

use flow_core::durable::Durable as _;
use flow_core::gate::{OnSilence, Thresholds};
use flow_core::stage::StageName;
use flow_core::strategy::{BlueGreen, Canary, Rolling};
use flow_core::{Actor, Clock as _, Environment, ErrorKind, RunId, Service, Setting, Stopped, Undone, name};
use flow_testkit::fake::Quality;
use flow_testkit::fault::{At, Fault, Moment};
use flow_testkit::world::NotDeployed;
use flow_testkit::{World, weights};

fn world() -> World {
    World::new().with_service("web", 4).serving("1.0.0")
}

/// Nothing that production might have let pass was refused on the way, and every fault fired.
fn in_order(world: &World) {
    assert_eq!(world.ledger().refusals(), [""; 0]);
    assert_eq!(world.faults().unfired(), []);
}

#[tokio::test(start_paused = true)]
async fn a_good_release_replaces_the_old_one_in_minutes_of_virtual_time() {
    let world = world();
    assert_eq!(world.instances("web").running("1.0.0").len(), 4);
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    world.deploy("1.1.0", BlueGreen::default()).await.unwrap();
    assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
    assert_eq!(world.instances("web").running("1.1.0").len(), 4);
    assert!(world.instances("web").running("1.0.0").is_empty());
    assert!(world.clock().monotonic() >= Duration::from_secs(60), "it baked");
    assert_eq!(world.evidence().all().len(), 1);
    let steps =
        ["prepare", "build", "backup", "migrate", "assets", "services", "functions", "monitoring", "verify"];
    let ran: Vec<String> = world
        .ledger()
        .changes()
        .into_iter()
        .filter_map(|call| Some(call.strip_prefix("step.run ")?.to_owned()))
        .collect();
    assert_eq!(ran, steps, "all eight stages, in order");
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_failed_health_check_returns_all_traffic_to_blue() {
    let world = world();
    world.instances("web").fail_health("1.1.0").after(Duration::from_secs(30));
    let failed = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
    assert_eq!(failed.at(), Some(StageName::Services));
    assert!(failed.is_rolled_back());
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    assert!(world.instances("web").running("1.1.0").is_empty());
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_dies_at_launch_is_taken_back_without_waiting_for_its_health() {
    let world = world();
    world.instances("web").die_at_launch("1.1.0");
    let begun = world.clock().monotonic();
    let failed = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
    assert!(failed.is_rolled_back());
    assert!(
        world.clock().monotonic() - begun < Duration::from_secs(10),
        "an instance has a minute to be healthy"
    );
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_dies_in_its_bake_is_not_baked_to_the_end() {
    let world = world();
    world.instances("web").die("1.1.0").after(Duration::from_secs(30));
    let begun = world.clock().monotonic();
    let strategy = BlueGreen { bake: Duration::from_mins(10), relaunches: 0, ..BlueGreen::default() };
    let failed = world.deploy("1.1.0", strategy).await.unwrap_err();
    assert!(failed.is_rolled_back());
    let took = world.clock().monotonic() - begun;
    assert!(took < Duration::from_secs(60), "it was noticed after {took:?}");
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_aborted_by_its_gate_before_half_of_the_users_see_it() {
    let gate = Thresholds {
        max_failure_ratio: 0.01,
        max_p99_ms: None,
        min_requests: 20,
        on_insufficient: OnSilence::Wait { times: 3 },
        on_provider_error: OnSilence::Abort,
    };
    let world = world().gated(gate);
    world.metrics().traffic("web", 50);
    world.metrics().answers("web", "1.1.0", Quality::good().failing(2_000));
    let failed = world.deploy("1.1.0", Canary::default()).await.unwrap_err();
    assert_eq!(failed.at(), Some(StageName::Services));
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    let history = world.router("web").history();
    let shares = history.iter().filter_map(|snapshot| snapshot.routing.0.get(&name!("1.1.0")));
    let most = shares.map(|route| route.weight).max();
    assert!(most > Some(0) && most < Some(50), "{most:?} percent saw it");
    assert!(world.instances("web").running("1.1.0").is_empty());
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_is_named_and_undone() {
    let stages = ["prepare", "build", "migrate", "assets", "services", "functions", "monitoring", "verify"];
    for (stage, named) in stages.into_iter().zip(StageName::ALL) {
        let world = world();
        world.faults().inject(At::call("step.run").about(stage), Fault::Refused(ErrorKind::Failed));
        let failed = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
        assert_eq!(failed.at(), Some(named));
        assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
        assert!(world.instances("web").running("1.1.0").is_empty(), "{stage}");
        in_order(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_resumes_to_the_end() {
    for (point, about) in [("step.run", "migrate"), ("step.run", "verify"), ("step.capture", "assets")] {
        for moment in [Moment::Before, Moment::Inside, Moment::After] {
            let world = world();
            world.faults().inject(At::call(point).about(about), Fault::Crash(moment));
            let died = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
            assert!(matches!(died, NotDeployed::Died), "{died:?}");
            world.resume().await.unwrap();
            assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
            in_order(&world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_evidence_of_a_world_stands_in_its_ledger_and_can_fail() {
    let world = world();
    world.faults().inject(At::call("evidence.record"), Fault::Crash(Moment::After));
    let died = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
    assert!(matches!(died, NotDeployed::Died), "{died:?}");
    world.resume().await.unwrap();
    let recorded = world.ledger().calls().into_iter().filter(|call| call.point == "evidence.record");
    assert_eq!(recorded.map(|call| call.ended).collect::<Vec<_>>(), [None, Some(Ok(()))]);
    assert_eq!(world.evidence().all().len(), 1);
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_append_of_the_journal_resumes_to_the_end() {
    let mut crashes = 0;
    for nth in 2.. {
        let world = world();
        world.faults().inject(At::call("journal.append").nth(nth), Fault::Crash(Moment::After));
        match world.deploy("1.1.0", BlueGreen::default()).await {
            Err(NotDeployed::Died) => crashes += 1,
            ended => {
                ended.unwrap();
                break;
            }
        }
        world.resume().await.unwrap();
        assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 }, "append {nth}");
        in_order(&world);
    }
    assert!(crashes >= 15, "only {crashes} appends");
}

#[tokio::test(start_paused = true)]
async fn services_start_in_the_order_of_what_they_need() {
    let web = Service { needs: vec![name!("db")], size: 2, ..Service::new(name!("web")) };
    let world = World::new().with(web).with_service("db", 1).serving("1.0.0");
    world.deploy("1.1.0", Rolling::default()).await.unwrap();
    for service in ["web", "db"] {
        assert_eq!(world.router(service).observed_weights(), weights! { "1.1.0" => 100 });
    }
    let changes = world.fleet().changes();
    let first = |text: &str| changes.iter().position(|change| change.contains(text)).unwrap();
    assert!(first("route db to 1.1.0") < first("route web to 1.1.0"), "{changes:?}");
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn production_asks_for_proof_and_for_somebody_elses_approval() {
    let production = || World::new().with_service("web", 1).in_environment(Environment::Production);
    let refused = production().deploy("1.0.0", BlueGreen::default()).await.unwrap_err();
    let NotDeployed::Refused(plan) = &refused else { panic!("{refused:?}") };
    assert!(plan.to_string().contains("was never proved in staging"), "{plan}");
    let proved = production().proved("1.0.0");
    let unapproved = proved.deploy("1.0.0", BlueGreen::default()).await.unwrap_err();
    assert!(matches!(&unapproved, NotDeployed::NotApproved(_)), "{unapproved:?}");
    assert_eq!(unapproved.at(), None);
    assert_eq!(proved.fleet().changes(), [""; 0], "nothing was changed");
    let approved = production().proved("1.0.0").approved_by("bob");
    approved.deploy("1.0.0", BlueGreen::default()).await.unwrap();
    in_order(&approved);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_set_up_wrongly_is_said_at_once_and_nothing_panics() {
    let world = World::new()
        .with_service("not a name", 1)
        .with_service("web", 0)
        .with_service("web", 1)
        .serving("")
        .proved("/")
        .approved_by("");
    let misused = world.deploy("no release", BlueGreen::default()).await.unwrap_err();
    let NotDeployed::Misused(problems) = &misused else { panic!("{misused:?}") };
    let fields: Vec<&str> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["service", "web.size", "web", "serving", "proved", "approved_by", "release"]);
    assert!(world.instances("/").running("1").is_empty() && world.router("/").observed_weights().is_empty());
    let none = World::new().deploy("1.0.0", BlueGreen::default()).await.unwrap_err();
    assert!(matches!(none, NotDeployed::Misused(_)));
    let nothing = World::new().resume().await.unwrap_err();
    assert!(matches!(nothing, NotDeployed::Misused(_)));
}

#[tokio::test]
async fn a_test_that_forgot_to_pause_time_is_told_so_and_does_not_wait_for_minutes() {
    let begun = Instant::now();
    let misused = world().deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
    assert!(
        matches!(&misused, NotDeployed::Misused(problems) if problems.to_string().contains("start_paused"))
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_owner_holds_is_not_begun() {
    let world = world();
    let id = RunId::new("run-1").unwrap();
    let setting = world.setting("1.1.0").unwrap();
    let workflow = world.workflow("1.1.0", BlueGreen::default()).unwrap();
    let fingerprint = workflow.plan(&setting).await.unwrap().fingerprint;
    let other = world.durable(id).ttl(Duration::from_secs(600));
    let (resources, clock, events) = (vec![], setting.clock.clone(), setting.events.clone());
    other.open(flow_core::durable::Opening { fingerprint, resources, clock, events }).await.unwrap();
    let refused = world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
    assert!(matches!(&refused, NotDeployed::Stopped(stopped) if matches!(**stopped, Stopped::NotBegun(_))));
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
}

/// 1,000 tests of deploy logic (100 in the short tier): a good release, one that takes itself back, one that dies and resumes. As
/// many run at the same time as `cargo test` would run. What each costs is counted as the time that its thread was on a
/// processor: on a machine with nothing else to do that is what it takes, and other work on this one does not count.
#[test]
fn a_thousand_tests_of_deploy_logic_take_seconds_for_hours_of_virtual_time() {
    let tests: u32 = if std::env::var_os("FLOW_LONG").is_some() { 1000 } else { 100 };
    let threads = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let begun = Instant::now();
    let workers: Vec<_> =
        (0..threads).map(|first| std::thread::spawn(move || measure(first, threads, tests))).collect();
    let costs: Vec<(Duration, Duration)> =
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    let wall = begun.elapsed();
    let worst = costs.iter().map(|(cost, _)| *cost).max().unwrap();
    let total: Duration = costs.iter().map(|(cost, _)| *cost).sum();
    let passed: Duration = costs.iter().map(|(_, passed)| *passed).sum();
    println!(
        "{tests} tests on {threads} threads: {wall:?} by the wall, {total:?} of processor, {:?} each, {worst:?} at most, \
         {passed:?} of virtual time",
        total / tests
    );
    assert_eq!(costs.len(), tests as usize);
    // The figures are asserted where they are asked for: what a machine's noise would decide is no test of every day.
    if tests == 1000 {
        assert!(total / tests < Duration::from_millis(50), "{:?} for each test", total / tests);
        assert!(
            total / threads < Duration::from_secs(20),
            "{total:?} for {tests} tests on {threads} threads"
        );
    }
    assert!(passed > Duration::from_secs(45) * tests, "{passed:?} of virtual time");
}

/// What every `threads`th test from `first` on cost, and how much virtual time passed in it.
fn measure(first: u32, threads: u32, tests: u32) -> Vec<(Duration, Duration)> {
    let each = (first..tests).step_by(threads as usize).map(|round| {
        let begun = on_processor();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let passed = runtime.unwrap().block_on(one_test(round));
        (on_processor() - begun, passed)
    });
    each.collect()
}

/// How long this thread has been on a processor; where the system does not tell, how long it exists.
fn on_processor() -> Duration {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGUN.elapsed(), Duration::from_nanos)
}

async fn one_test(round: u32) -> Duration {
    let world = world();
    let expected = match round % 3 {
        0 => {
            world.deploy("1.1.0", BlueGreen::default()).await.unwrap();
            weights! { "1.1.0" => 100 }
        }
        1 => {
            world.instances("web").fail_health("1.1.0").after(Duration::from_secs(30));
            world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
            weights! { "1.0.0" => 100 }
        }
        _ => {
            world.faults().inject(At::call("step.run").about("verify"), Fault::Crash(Moment::Inside));
            world.deploy("1.1.0", BlueGreen::default()).await.unwrap_err();
            world.resume().await.unwrap();
            weights! { "1.1.0" => 100 }
        }
    };
    assert_eq!(world.router("web").observed_weights(), expected);
    world.clock().monotonic()
}

/// A run of 1.1.0 that was verified an hour ago, whose controller has died since, and the setting that it began under.
async fn verified(world: &World) -> (flow_core::Workflow, Setting) {
    let workflow = world.workflow("1.1.0", BlueGreen::default()).unwrap();
    let setting = Setting { keep_warm: Duration::from_hours(24), ..world.setting("1.1.0").unwrap() };
    let (planned, durable) =
        (workflow.plan(&setting).await.unwrap(), world.durable(RunId::new("warm").unwrap()));
    let approved = planned.approve(&flow_core::plan::Approvals::none()).unwrap();
    tokio::select! {
        ended = workflow.run(approved, &durable) => panic!("{ended:?}"),
        () = world.clock().sleep(Duration::from_hours(1)) => {}
    }
    durable.close().await;
    assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
    assert_eq!(world.instances("web").running("1.0.0").len(), 4);
    (workflow, setting)
}

#[tokio::test(start_paused = true)]
async fn a_verified_run_ends_its_warm_colour_when_it_is_told_to() {
    let world = world();
    let (workflow, setting) = verified(&world).await;
    workflow.conclude(&setting, &world.durable(RunId::new("warm").unwrap())).await.unwrap();
    assert!(world.clock().monotonic() < Duration::from_hours(2));
    assert!(world.instances("web").running("1.0.0").is_empty());
    assert_eq!(world.instances("web").running("1.1.0").len(), 4);
    in_order(&world);
}

#[tokio::test(start_paused = true)]
async fn a_verified_run_goes_back_to_its_warm_colour_when_it_is_told_to() {
    let world = world();
    let (workflow, setting) = verified(&world).await;
    let durable = world.durable(RunId::new("warm").unwrap());
    let undone =
        workflow.roll_back(&setting, &durable, &Actor::new("ann").unwrap(), "users complain").await.unwrap();
    assert!(matches!(undone, Undone::RolledBack(_)), "{undone:?}");
    assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
    assert_eq!(world.instances("web").running("1.0.0").len(), 4);
    assert!(world.instances("web").running("1.1.0").is_empty());
    in_order(&world);
}
