//! What a test of deploy logic can arrange in a fake fleet, and what the fleet refuses.

use std::time::Duration;

use flow_core::port::{
    Health, HealthCheck, Instance, LaunchSpec, Metrics, ProbeRequest, Prober, ProcessManager, Route, Router,
    Routing, Sample,
};
use flow_core::{Digest, ErrorKind, Fence, Name, StepError, name};
use flow_testkit::fake::{FakeFleet, FakeMetrics, FakeProber, Page, Quality};
use flow_testkit::fault::{At, Fault};
use flow_testkit::{permit, permit_under, weights};
use tokio::time::{Instant, sleep};

const WEB: Name = name!("web");
const OLD: Name = name!("1.0.0");
const NEW: Name = name!("1.1.0");
const GRACE: Duration = Duration::from_secs(10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(instance: &Name, version: &Name) -> LaunchSpec {
    LaunchSpec {
        service: WEB,
        instance: instance.clone(),
        version: version.clone(),
        digest: Digest::of(version.as_str().as_bytes()),
        program: "/bin/web".into(),
        args: Vec::new(),
        env: Default::default(),
        directory: "/".into(),
        health: HealthCheck { path: "/health".to_owned(), timeout: seconds(1) },
    }
}

/// Launches an instance and sees it healthy, as a rollout does before it routes to it.
async fn proved(fleet: &FakeFleet, instance: &Name, version: &Name) -> Instance {
    let launched = fleet.launch(&permit(), &spec(instance, version)).await.unwrap();
    assert_eq!(fleet.health(&WEB, instance).await.unwrap(), Health::Healthy);
    launched
}

fn routing(routes: &[(&Name, u8, &Instance)]) -> Routing {
    let route = |(version, weight, instance): &(&Name, u8, &Instance)| {
        ((*version).clone(), Route { weight: *weight, addresses: vec![instance.address.clone()] })
    };
    Routing(routes.iter().map(route).collect())
}

async fn route(fleet: &FakeFleet, routes: &[(&Name, u8, &Instance)]) -> Result<(), StepError> {
    fleet.route(&permit(), &WEB, &routing(routes)).await
}

#[tokio::test(start_paused = true)]
async fn health_fails_when_it_was_arranged_and_comes_back_when_that_is_over() {
    let fleet = FakeFleet::new();
    let web = fleet.instances_of("web");
    web.fail_health("1.1.0").after(seconds(30)).lasting(seconds(60));
    proved(&fleet, &name!("web-1"), &NEW).await;
    for (waits, healthy) in [(29, true), (1, false), (59, false), (1, true)] {
        sleep(seconds(waits)).await;
        let health = fleet.health(&WEB, &name!("web-1")).await.unwrap();
        assert_eq!(health.is_healthy(), healthy, "{waits} s later");
        assert_eq!(web.healthy("1.1.0").len(), usize::from(healthy));
    }
    // One that is launched later has its own thirty seconds.
    proved(&fleet, &name!("web-2"), &NEW).await;
    sleep(seconds(30)).await;
    assert_eq!(web.healthy("1.1.0")[0].id.as_str(), "web-1");
    assert_eq!(web.running("1.1.0").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_instance_starts_slowly_dies_and_may_be_launched_again() {
    let fleet = FakeFleet::new();
    let web = fleet.instances_of("web");
    web.start_slowly("1.1.0", seconds(20));
    web.die("1.1.0").after(seconds(50));
    let id = name!("web-1");
    let first = fleet.launch(&permit(), &spec(&id, &NEW)).await.unwrap();
    let refused = Health::Unhealthy { reason: "connection refused".to_owned() };
    assert_eq!(fleet.health(&WEB, &id).await.unwrap(), refused);
    sleep(seconds(20)).await;
    assert_eq!(fleet.health(&WEB, &id).await.unwrap(), Health::Healthy);
    sleep(seconds(30)).await;
    assert_eq!(fleet.health(&WEB, &id).await.unwrap(), Health::Gone);
    assert!(web.running("1.1.0").is_empty());
    // Under another key of the same run: what has died is no second effect.
    let again = permit_under("test/undo", Fence(1), 1);
    let second = fleet.launch(&again, &spec(&id, &NEW)).await.unwrap();
    assert_ne!(first.address, second.address);
    assert_eq!(web.running("1.1.0"), [second]);
    assert!(fleet.ledger().refusals().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_end_after_the_traffic_left_or_never() {
    let fleet = FakeFleet::new();
    fleet.instances_of("web").keep_busy("1.0.0", 3, seconds(20));
    fleet.instances_of("web").never_drain("1.1.0", 1);
    let (old, new) = (proved(&fleet, &name!("old"), &OLD).await, proved(&fleet, &name!("new"), &NEW).await);
    let under_way = async || {
        let counted = fleet.in_flight(&WEB).await.unwrap();
        (counted[&old.address], counted[&new.address])
    };
    assert_eq!(under_way().await, (0, 0));
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    sleep(seconds(100)).await;
    assert_eq!(under_way().await, (3, 0));
    route(&fleet, &[(&NEW, 100, &new)]).await.unwrap();
    sleep(seconds(19)).await;
    assert_eq!(under_way().await, (3, 1));
    sleep(seconds(1)).await;
    assert_eq!(under_way().await, (0, 1));
    fleet.stop(&permit(), &WEB, &name!("old"), GRACE).await.unwrap();
    route(&fleet, &[]).await.unwrap();
    sleep(seconds(10_000)).await;
    fleet.stop(&permit(), &WEB, &name!("new"), GRACE).await.unwrap();
    let cut: Vec<u64> = fleet.history().iter().map(|snapshot| snapshot.cut).collect();
    assert_eq!(cut, [0, 0, 0, 0, 0, 0, 1], "the one that never ended was cut off");
}

#[tokio::test(start_paused = true)]
async fn the_history_shows_what_served_and_what_was_exposed_after_every_change() {
    let fleet = FakeFleet::new();
    let (old, new) = (proved(&fleet, &name!("old"), &OLD).await, proved(&fleet, &name!("new"), &NEW).await);
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    sleep(seconds(5)).await;
    fleet.sicken(&NEW);
    route(&fleet, &[(&OLD, 75, &old), (&NEW, 25, &new)]).await.unwrap();
    assert_eq!(fleet.router_of("web").observed_weights(), weights! { "1.0.0" => 75, "1.1.0" => 25 });
    fleet.instances_of("web").kill("old");
    route(&fleet, &[(&NEW, 100, &new)]).await.unwrap();
    let history = fleet.router_of("web").history();
    let seen: Vec<(u64, &str, usize, usize)> = history[2..]
        .iter()
        .map(|snapshot| {
            (snapshot.at.as_secs(), snapshot.change.as_str(), snapshot.serving.len(), snapshot.exposed.len())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, "route web to 1.0.0 100 %", 1, 0),
            (5, "route web to 1.0.0 75 %, 1.1.0 25 %", 1, 1),
            (5, "route web to 1.1.0 100 %", 0, 1),
        ]
    );
    assert!(fleet.router_of("api").history().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_only_a_wrong_caller_does_is_refused_noted_and_changes_nothing() {
    let fleet = FakeFleet::new();
    let old = proved(&fleet, &name!("old"), &OLD).await;
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    let unproved = fleet.launch(&permit(), &spec(&name!("new"), &NEW)).await.unwrap();
    let nobody = Instance { address: "127.0.0.1:1".to_owned(), ..old.clone() };
    let before = (fleet.routing(&WEB).await.unwrap(), fleet.changes());
    let twice = permit_under("test/again", Fence(1), 1);
    let errors = [
        route(&fleet, &[(&NEW, 100, &unproved)]).await.unwrap_err(),
        route(&fleet, &[(&OLD, 100, &nobody)]).await.unwrap_err(),
        route(&fleet, &[(&NEW, 100, &old)]).await.unwrap_err(),
        fleet.stop(&permit(), &WEB, &name!("old"), GRACE).await.unwrap_err(),
        fleet.launch(&twice, &spec(&name!("old"), &OLD)).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    assert_eq!((fleet.routing(&WEB).await.unwrap(), fleet.changes()), before);
    let refusals = fleet.ledger().refusals();
    assert_eq!(refusals.len(), errors.len(), "{refusals:?}");
    for (refusal, part) in
        refusals.iter().zip(["seen good", "nothing listens", "another version", "gets traffic", "again"])
    {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    // A late owner is refused whatever it does.
    let (owner, late) = (permit_under("two/1", Fence(7), 1), permit_under("one/9", Fence(6), 1));
    fleet.route(&owner, &WEB, &routing(&[(&OLD, 100, &old)])).await.unwrap();
    let error = fleet.route(&late, &WEB, &Routing::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(fleet.router_of("web").observed_weights(), weights! { "1.0.0" => 100 });
}

#[tokio::test]
async fn a_bad_routing_names_every_problem_and_is_no_refusal_of_the_fake() {
    let fleet = FakeFleet::new().with_granularity(25);
    let old = proved(&fleet, &name!("old"), &OLD).await;
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    let mut bad = routing(&[(&OLD, 60, &old), (&NEW, 25, &old)]);
    bad.0.insert(name!("1.2.0"), Route { weight: 25, addresses: Vec::new() });
    bad.0.insert(name!("1.3.0"), Route { weight: 0, addresses: vec!["unix:run".to_owned()] });
    let error = fleet.route(&permit(), &WEB, &bad).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let problems = std::error::Error::source(&error).unwrap().to_string();
    for part in [
        "sum to 110",
        "`routing.1.0.0.weight`: `60` is finer",
        "routed twice",
        "`routing.1.2.0.addresses`",
        "`unix:run`",
    ] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
    assert!(fleet.ledger().refusals().is_empty());
    assert_eq!(fleet.router_of("web").observed_weights(), weights! { "1.0.0" => 100 });
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_what_the_instance_takes_and_no_longer_than_its_grace() {
    let fleet = FakeFleet::new();
    fleet.instances_of("web").end_slowly("1.0.0", seconds(4));
    fleet.instances_of("web").ignore_the_request_to_end("1.1.0");
    fleet.instances_of("web").end_slowly("1.3.0", seconds(30));
    for (id, version, took) in [
        (name!("a"), OLD, 4),
        (name!("b"), NEW, 10),
        (name!("c"), name!("1.2.0"), 0),
        (name!("d"), name!("1.3.0"), 10),
    ] {
        proved(&fleet, &id, &version).await;
        let begun = Instant::now();
        fleet.stop(&permit(), &WEB, &id, GRACE).await.unwrap();
        assert_eq!(begun.elapsed(), seconds(took), "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_a_call_of_the_fleet_fires_and_leaves_what_it_says() {
    let fleet = FakeFleet::new();
    let faults = fleet.ledger().faults();
    faults.inject(At::call("processes.launch").about("web"), Fault::InDoubt);
    faults.inject(At::call("router.route").about("web"), Fault::Refused(ErrorKind::Unavailable));
    let doubt = fleet.launch(&permit(), &spec(&name!("old"), &OLD)).await.unwrap_err();
    assert_eq!(doubt.kind(), ErrorKind::Unknown);
    let old = proved(&fleet, &name!("old"), &OLD).await;
    assert_eq!(fleet.running(&WEB), [OLD], "the launch in doubt stands, and is not made twice");
    assert_eq!(route(&fleet, &[(&OLD, 100, &old)]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(fleet.router_of("web").observed_weights().is_empty());
    assert!(faults.unfired().is_empty());
}

async fn sample(metrics: &FakeMetrics, version: &Name) -> Option<Sample> {
    metrics.sample(&WEB, version).await.unwrap()
}

fn figures(sample: Option<Sample>) -> (u64, u64) {
    sample.map_or((0, 0), |sample| {
        assert_eq!(sample.latency.iter().sum::<u64>(), sample.requests);
        (sample.requests, sample.failures)
    })
}

#[tokio::test(start_paused = true)]
async fn counters_follow_the_weights_the_quality_and_the_health_of_a_version() {
    let fleet = FakeFleet::new();
    let metrics = FakeMetrics::of_fleet(&fleet);
    metrics.traffic("web", 100);
    metrics.answers("web", "1.1.0", Quality::good().failing(500).taking(Duration::from_millis(80)));
    let (old, new) = (proved(&fleet, &name!("old"), &OLD).await, proved(&fleet, &name!("new"), &NEW).await);
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    assert_eq!(sample(&metrics, &OLD).await, None, "nothing was counted yet");
    sleep(seconds(60)).await;
    route(&fleet, &[(&OLD, 95, &old), (&NEW, 5, &new)]).await.unwrap();
    sleep(seconds(600)).await;
    assert_eq!(figures(sample(&metrics, &OLD).await), (6_000 + 57_000, 0));
    let counted = sample(&metrics, &NEW).await.unwrap();
    assert_eq!((counted.requests, counted.failures), (3_000, 150));
    assert_eq!(counted.latency, [0, 0, 0, 0, 0, 3_000, 0, 0, 0, 0, 0], "all of them at or below 100 ms");
    // The only address of the new version dies: all that falls to it fails.
    fleet.instances_of("web").kill("new");
    sleep(seconds(100)).await;
    assert_eq!(figures(sample(&metrics, &NEW).await), (3_500, 650));
    metrics.begin_again("web");
    assert_eq!(sample(&metrics, &NEW).await, None);
    sleep(seconds(1)).await;
    let again = sample(&metrics, &NEW).await.unwrap();
    assert_eq!((again.requests, again.epoch), (5, counted.epoch + 1));
    let unknown = metrics.sample(&name!("api"), &NEW).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_page_changes_over_time_and_with_the_version_that_answers() {
    let fleet = FakeFleet::new();
    let prober = FakeProber::in_ledger(fleet.ledger());
    let url = "https://shop.test/";
    prober.serve_by(&fleet, "web", "1.0.0", url, Page::new(200, "old"));
    prober.serve_by(&fleet, "web", "1.1.0", url, Page::new(200, "new").taking(seconds(2)));
    let get = async |timeout| {
        let request = ProbeRequest { url: url.to_owned(), timeout };
        let reply = prober.get(&request).await;
        reply
            .map(|reply| (reply.status, String::from_utf8(reply.body).unwrap()))
            .map_err(|error| error.kind())
    };
    assert_eq!(get(seconds(5)).await.unwrap().0, 503, "nothing is routed");
    let (old, new) = (proved(&fleet, &name!("old"), &OLD).await, proved(&fleet, &name!("new"), &NEW).await);
    route(&fleet, &[(&OLD, 100, &old)]).await.unwrap();
    assert_eq!(get(seconds(5)).await, Ok((200, "old".to_owned())));
    route(&fleet, &[(&OLD, 50, &old), (&NEW, 50, &new)]).await.unwrap();
    let mut seen = [0, 0];
    for _ in 0..100 {
        seen[usize::from(get(seconds(5)).await.unwrap().1 == "new")] += 1;
    }
    assert_eq!(seen, [50, 50]);
    route(&fleet, &[(&NEW, 100, &new)]).await.unwrap();
    let begun = Instant::now();
    assert_eq!(get(seconds(1)).await, Err(ErrorKind::TimedOut));
    assert_eq!(begun.elapsed(), seconds(1));
    prober.take_down(url).after(seconds(60));
    assert_eq!(get(seconds(5)).await, Ok((200, "new".to_owned())));
    sleep(seconds(60)).await;
    assert_eq!(get(seconds(5)).await, Err(ErrorKind::Unavailable));
}
