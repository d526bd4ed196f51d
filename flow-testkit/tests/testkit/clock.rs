//! A machine's clock that is set while a run goes on: what leases, sleeps, waits, approvals and evidence make of it.

use std::time::Duration;

use flow_core::durable::{Durable as _, Opening};
use flow_core::journal::{AcquireError, JournalStore as _, MemoryJournal, Signal};
use flow_core::machine::{CallKey, Phase};
use flow_core::plan::{ApprovalError, Approvals, Refusal, RefusedApproval};
use flow_core::stage::StageName;
use flow_core::strategy::BlueGreen;
use flow_core::{Actor, CancelToken, Clock as _, Environment, RunId, name};
use flow_testkit::fake::VirtualClock;
use flow_testkit::world::NotDeployed;
use flow_testkit::{World, weights};

const HOUR: Duration = Duration::from_secs(3600);

fn world() -> World {
    World::new().with_service("web", 2).serving("1.0.0")
}

/// Sets the clock, back and ahead, one after the other.
fn jumps() -> [fn(&VirtualClock); 2] {
    [|clock| clock.jump_back(HOUR), |clock| clock.jump_ahead(HOUR)]
}

#[tokio::test(start_paused = true)]
async fn a_time_of_day_that_jumps_leaves_monotonic_time_alone() {
    let clock = VirtualClock::new();
    let (day, monotonic) = (clock.now(), clock.monotonic());
    clock.clone().jump_back(HOUR);
    assert!(clock.now() < day && clock.monotonic() == monotonic, "clones share their jumps");
    clock.jump_ahead(HOUR);
    clock.sleep(Duration::from_secs(5)).await;
    assert_eq!(clock.now(), day + Duration::from_secs(5));
    assert_eq!(clock.monotonic() - monotonic, Duration::from_secs(5));
    clock.jump_ahead(Duration::MAX);
    clock.jump_back(Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_the_memory_store_lasts_its_time_whatever_the_time_of_day_says() {
    for jump in jumps() {
        let clock = VirtualClock::new();
        let journal = MemoryJournal::on(std::sync::Arc::new(clock.clone()));
        let (run, ttl) = (RunId::new("a").unwrap(), Duration::from_secs(30));
        journal.acquire(&run, &[], "first", ttl).await.unwrap();
        clock.sleep(Duration::from_secs(29)).await;
        jump(&clock);
        let held = journal.acquire(&run, &[], "second", ttl).await;
        let Err(AcquireError::Held { until, .. }) = held else { panic!("{held:?}") };
        assert_eq!(until, clock.now() + Duration::from_secs(1), "it says when it ends by today's clock");
        clock.sleep(Duration::from_secs(1)).await;
        journal.acquire(&run, &[], "second", ttl).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_clock_is_set_under_way_bakes_as_long_as_it_should_and_its_report_can_be_read() {
    for jump in jumps() {
        let world = world();
        let clock = world.clock().clone();
        let setting = tokio::spawn(async move {
            clock.sleep(Duration::from_secs(30)).await;
            jump(&clock);
        });
        let report = world.deploy("1.1.0", BlueGreen::default()).await.unwrap();
        setting.await.unwrap();
        let took = world.clock().monotonic();
        assert!(took >= Duration::from_secs(60) && took < Duration::from_secs(90), "{took:?}");
        assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
        assert!(report.to_markdown().contains("1.1.0"));
        assert_eq!(world.ledger().refusals(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_died_resumes_though_the_clock_was_set_meanwhile_and_never_sleeps_longer_than_meant() {
    for jump in jumps() {
        let world = world();
        // The bake is under way: its beginning is recorded, and nothing after it.
        let clock = world.clock().clone();
        let died = tokio::select! {
            ended = world.deploy("1.1.0", BlueGreen::default()) => panic!("{ended:?}"),
            () = clock.sleep(Duration::from_secs(20)) => clock.monotonic(),
        };
        jump(&clock);
        world.resume().await.unwrap();
        let took = clock.monotonic() - died;
        assert!(took < Duration::from_secs(30 + 60 + 10), "the lease and one bake at most: {took:?}");
        assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_never_longer_than_meant() {
    let world = world();
    let setting = world.setting("1.1.0").unwrap();
    let workflow =
        world.workflow("1.1.0", BlueGreen { approval: Some(name!("go")), ..BlueGreen::default() }).unwrap();
    let approved = workflow.plan(&setting).await.unwrap().approve(&Approvals::none()).unwrap();
    let (fingerprint, id) = (approved.fingerprint, RunId::new("wait").unwrap());
    let clock = world.clock().clone();
    let durable = world.durable(id.clone());
    let waiting = tokio::time::timeout(Duration::from_secs(20), workflow.run(approved, &durable)).await;
    assert!(waiting.is_err(), "it waits for somebody to say go: {waiting:?}");
    drop(durable);
    let durable = world.durable(id);
    let (resources, events) = (Vec::new(), setting.events.clone());
    let opening = Opening { fingerprint, resources, clock: setting.clock.clone(), events };
    let state = durable.open(opening).await.unwrap();
    let pending = |key: &&CallKey| key.stage == StageName::Services && key.phase == Phase::Do;
    let last = state.running().unwrap().calls.keys().rfind(pending).unwrap().clone();
    let begun = clock.monotonic();
    let deadline = Some(Duration::from_secs(600));
    let (signal, ()) = tokio::join!(durable.wait(last, deadline, CancelToken::new()), async {
        clock.sleep(Duration::from_secs(60)).await;
        clock.jump_back(HOUR);
    });
    assert_eq!(signal.unwrap(), Signal::TimedOut);
    let waited = clock.monotonic() - begun;
    assert!(waited >= Duration::from_secs(600) && waited < Duration::from_secs(601), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn approvals_and_evidence_end_by_the_time_of_day_and_say_so() {
    let world = World::new().with_service("web", 1).in_environment(Environment::Production).proved("1.0.0");
    let setting = world.setting("1.0.0").unwrap();
    let workflow = world.workflow("1.0.0", BlueGreen::default()).unwrap();
    let plan = workflow.plan(&setting).await.unwrap();
    let bob = Actor::new("bob").unwrap();
    let approvals = Approvals::none().by(bob, plan.hash, world.clock().now() + HOUR / 2);
    plan.clone().approve(&approvals).unwrap();
    world.clock().jump_ahead(HOUR);
    let expired = plan.clone().approve(&approvals).unwrap_err();
    assert!(
        matches!(&expired[..], [ApprovalError::TooFew { refused, .. }] if matches!(refused[..], [RefusedApproval { reason: Refusal::Expired { .. }, .. }])),
        "{expired:?}"
    );
    world.clock().jump_back(HOUR);
    plan.approve(&approvals).unwrap();
    world.clock().jump_ahead(HOUR * 24 * 15);
    let stale = world.deploy("1.0.0", BlueGreen::default()).await.unwrap_err();
    assert!(
        matches!(&stale, NotDeployed::Refused(plan) if plan.to_string().contains("expired at")),
        "{stale}"
    );
    assert_eq!(world.fleet().changes(), [""; 0]);
}
