//! The proxy, judged by real requests to a real proxy process in front of real server processes.

#[path = "proxy/server.rs"]
mod server;
#[path = "proxy/suite.rs"]
mod suite;
#[path = "proxy/user.rs"]
mod user;
#[path = "proxy/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_core::port::{Metrics, Route, Router, Routing};
use flow_core::{ErrorKind, Name, StepError, name};
use flow_local::proxy::LocalRouter;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use user::{Load, User, get, raw};
use world::{Upstream, WEB, World, config, free_address, routing};

/// What the other tests start: this very program as a proxy or as an upstream.
#[test]
#[ignore = "the processes that the other tests start"]
fn process() {
    world::play_role();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_20_000_requests_are_within_a_tenth_of_a_point() {
    let (old, new) = (Upstream::start("old/60000"), Upstream::start("new/60000"));
    let world = World::started().await;
    let mut expected = 0;
    for share in [1_u8, 5, 25, 50] {
        world.route(&[("new", share, &[&new]), ("old", 100 - share, &[&old])]).await;
        let answered = Load::start(world.listen, 8, 2_500).finish().await;
        assert_eq!(answered.values().sum::<u64>(), 20_000);
        assert_eq!(answered.len(), 2, "{answered:?}");
        let aim = u64::from(share) * 200;
        assert!(answered["new"].abs_diff(aim) <= 20, "{share} %: {answered:?}");
        expected += answered["new"];
    }
    assert_eq!(world.sample("new").await, (expected, 0));
    assert_eq!(world.sample("old").await, (80_000 - expected, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_switches_under_load_fail_no_request() {
    // One that closes after every response, and one that keeps connections and drops them without a word.
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green/3"));
    let world = World::started().await;
    world.route(&[("blue", 100, &[&blue])]).await;
    let load = Load::start(world.listen, 8, u64::MAX);
    let mut user = User::connect(world.listen).await;
    for turn in 0..100 {
        let (version, upstream) = if turn % 2 == 0 { ("green", &green) } else { ("blue", &blue) };
        world.route(&[(version, 100, &[upstream])]).await;
        assert_eq!(user.get("/").await.unwrap().body, version, "the next request goes to the new version");
        load.further(40).await;
    }
    let answered = load.stop().await;
    assert_eq!(answered.keys().collect::<Vec<_>>(), ["blue", "green"], "{answered:?}");
    assert!(answered.values().all(|count| *count > 1_000), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_killed_once_it_is_drained_fails_no_request() {
    let world = World::started().await;
    let mut current = Upstream::start("v0/1000");
    world.route(&[("v0", 100, &[&current])]).await;
    let load = Load::start(world.listen, 8, u64::MAX);
    let mut versions = BTreeSet::from(["v0".to_owned()]);
    for turn in 1..=20 {
        let version = format!("v{turn}");
        let next = Upstream::start(&format!("{version}/1000"));
        load.further(40).await;
        world.route(&[(&version, 100, &[&next])]).await;
        world.until_in_flight(&current, 0).await;
        current.kill();
        current = next;
        versions.insert(version);
    }
    load.further(40).await;
    let answered = load.stop().await;
    assert_eq!(answered.into_keys().collect::<BTreeSet<_>>(), versions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_version_is_counted_and_not_masked() {
    let (good, mut dead) = (Upstream::start("good/1000"), Upstream::start("dead/1000"));
    let world = World::started().await;
    world.route(&[("good", 50, &[&good]), ("dead", 50, &[&dead])]).await;
    let mut user = User::connect(world.listen).await;
    for _ in 0..10 {
        assert_eq!(user.get("/").await.unwrap().status, 200);
    }
    dead.kill();
    let mut answered: BTreeMap<(u16, String), u64> = BTreeMap::new();
    for _ in 0..200 {
        let seen = user.get("/").await.unwrap();
        *answered.entry((seen.status.as_u16(), seen.version)).or_default() += 1;
    }
    let expected = BTreeMap::from([((200, "good".to_owned()), 100), ((502, "dead".to_owned()), 100)]);
    assert_eq!(answered, expected);
    assert_eq!(world.sample("dead").await, (105, 100));
    assert_eq!(world.sample("good").await, (105, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_addresses_of_a_version_cover_a_dead_one_in_turn() {
    let (one, two, mut dead) = (Upstream::start("one"), Upstream::start("two"), Upstream::start("three"));
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&one, &two, &dead])]).await;
    let mut user = User::connect(world.listen).await;
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..30 {
        *answered.entry(user.get("/").await.unwrap().body).or_default() += 1;
    }
    assert_eq!(answered.into_values().collect::<Vec<_>>(), [10, 10, 10]);
    dead.kill();
    for _ in 0..30 {
        assert_eq!(user.get("/").await.unwrap().status, 200);
    }
    assert_eq!(world.sample("1.0.0").await, (60, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_in_flight_until_its_last_byte() {
    let (old, new) = (Upstream::start("old"), Upstream::start("new"));
    let world = World::started().await;
    world.route(&[("old", 100, &[&old])]).await;
    let mut user = User::connect(world.listen).await;
    let request = Request::get("/drip").header("host", "a").body(Full::default()).unwrap();
    let response = user.0.send_request(request).await.unwrap();
    assert_eq!(world.in_flight(&old).await, 1, "the head has arrived, the body has not");
    world.route(&[("new", 100, &[&new])]).await;
    assert_eq!(world.in_flight(&old).await, 1, "still counted where it is no longer routed");
    old.release().await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "firstlast");
    world.until_in_flight(&old, 0).await;
    let counted = world.router.in_flight(&WEB).await.unwrap();
    assert_eq!(counted.into_keys().collect::<Vec<_>>(), [new.address.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_goes_away_is_no_longer_in_flight_and_counts_as_unanswered() {
    let slow = Upstream::start("slow");
    let world = World::started().await;
    world.route(&[("slow", 100, &[&slow])]).await;
    let listen = world.listen;
    let request = tokio::spawn(async move { get(listen, "/hold").await.status });
    world.until_in_flight(&slow, 1).await;
    request.abort();
    world.until_in_flight(&slow, 0).await;
    assert_eq!(world.sample("slow").await, (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_slow_requests_finish_where_they_began() {
    let (old, new) = (Upstream::start("old"), Upstream::start("new"));
    let world = World::started().await;
    world.route(&[("old", 100, &[&old])]).await;
    let listen = world.listen;
    let slow: Vec<_> = (0..50).map(|_| tokio::spawn(async move { get(listen, "/hold").await })).collect();
    world.until_in_flight(&old, 50).await;
    world.route(&[("new", 100, &[&new])]).await;
    assert_eq!(world.in_flight(&old).await, 50);
    assert_eq!(get(world.listen, "/").await.body, "new");
    old.release().await;
    for request in slow {
        let seen = request.await.unwrap();
        assert_eq!((seen.status.as_u16(), seen.body.as_str()), (200, "old"));
    }
    world.until_in_flight(&old, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_proxy_starts_again_with_the_same_routing() {
    let (old, new) = (Upstream::start("old"), Upstream::start("new"));
    let world = World::started().await;
    let canary = routing(&[("new", 10, &[&new]), ("old", 90, &[&old])]);
    world.router.route(&world.permit, &WEB, &canary).await.unwrap();
    get(world.listen, "/").await;
    let epoch = world.router.sample(&WEB, &name!("old")).await.unwrap().unwrap().epoch;
    world.kill_proxy();
    assert!(world.path("control.sock").exists(), "the dead proxy's socket is still there");
    assert_eq!(world.router.routing(&WEB).await.unwrap_err().kind(), ErrorKind::Unavailable);

    world.router.start(&world.permit).await.unwrap();
    assert_eq!(world.router.routing(&WEB).await.unwrap(), canary);
    let answered = Load::start(world.listen, 1, 100).finish().await;
    assert_eq!(answered, BTreeMap::from([("new".into(), 10), ("old".into(), 90)]));
    assert_ne!(world.router.sample(&WEB, &name!("old")).await.unwrap().unwrap().epoch, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_router_finds_the_proxy_that_runs() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let first = world.router.process().await.unwrap();
    assert_eq!(world.running(), Some(first.clone()));

    let later = LocalRouter::new(config(world.directory.path(), world.listen)).unwrap();
    assert_eq!(later.routing(&WEB).await.unwrap(), routing(&[("1.0.0", 100, &[&upstream])]));
    assert_eq!(later.start(&world.permit).await.unwrap(), first);
    assert_eq!(get(world.listen, "/").await.body, "1.0.0");

    let elsewhere = LocalRouter::new(config(world.directory.path(), free_address())).unwrap();
    let error = elsewhere.start(&world.permit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_that_start_a_proxy_at_once_get_the_same_one() {
    let world = World::new(|_| {});
    let other = LocalRouter::new(config(world.directory.path(), world.listen)).unwrap();
    let (one, two) = tokio::join!(world.router.start(&world.permit), other.start(&world.permit));
    assert_eq!(one.unwrap(), two.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_what_is_under_way_and_leaves_no_process() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let process = world.router.process().await.unwrap();
    let mut idle = User::connect(world.listen).await;
    idle.get("/").await.unwrap();
    let listen = world.listen;
    let slow = tokio::spawn(async move { get(listen, "/hold").await });
    world.until_in_flight(&upstream, 1).await;
    let release = async {
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(listen).await.is_ok() {
            assert!(Instant::now() < deadline, "a proxy that was asked to stop accepts on");
        }
        assert!(world.is_locked(), "it waits for the request under way");
        upstream.release().await;
    };
    tokio::join!(async { world.router.stop(&world.permit).await.unwrap() }, release);
    assert_eq!(slow.await.unwrap().body, "1.0.0");
    let state = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert!(tokio::net::TcpStream::connect(listen).await.is_err());
    assert!(!world.path("control.sock").exists());
    world.router.stop(&world.permit).await.unwrap();
    world.router.start(&world.permit).await.unwrap();
    assert_eq!(get(listen, "/").await.body, "1.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_proxy_nothing_is_routed_and_none_is_started() {
    let world = World::new(|_| {});
    let none = Routing::default();
    let kinds = [
        world.router.route(&world.permit, &WEB, &none).await.unwrap_err().kind(),
        world.router.in_flight(&WEB).await.unwrap_err().kind(),
        world.router.sample(&WEB, &name!("1")).await.unwrap_err().kind(),
        world.router.process().await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unavailable; 4]);
    assert!(!world.is_locked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupied_port_is_named_and_leaves_no_process() {
    let world = World::new(|_| {});
    let _taken = TcpListener::bind(world.listen).unwrap();
    let error = world.router.start(&world.permit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = chain(&error);
    assert!(text.contains(&format!("the address `{}` is taken", world.listen)), "{text}");
    assert!(!world.is_locked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_succeed_says_why() {
    let missing = World::new(|config| config.program = "/nowhere/program".into());
    assert_eq!(missing.router.start(&missing.permit).await.unwrap_err().kind(), ErrorKind::NotFound);

    let silent = World::new(|config| config.program = "/bin/false".into());
    let error = silent.router.start(&silent.permit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state"), "a file").unwrap();
    let router = LocalRouter::new(config(directory.path(), free_address())).unwrap();
    assert!(router.start(&flow_testkit::permit()).await.unwrap_err().kind().is_rejection());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_newer_routing_is_refused_and_left_as_it_is() {
    let newer = r#"{"format": 2, "service": "web", "generation": 1, "routing": {}}"#;
    let foreign = r#"{"format": 1, "service": "shop", "generation": 1, "routing": {}}"#;
    let lame = r#"{"format": 1, "service": "web", "generation": 1, "routing": {"1": {"weight": 99, "addresses": []}}}"#;
    for text in ["{\"format\": 1, ", "", newer, foreign, lame] {
        let world = World::new(|_| {});
        std::fs::create_dir(world.path("")).unwrap();
        std::fs::write(world.path("routing.json"), text).unwrap();
        let error = world.router.start(&world.permit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{text}: {error}");
        assert!(chain(&error).contains("routing.json"), "{}", chain(&error));
        assert_eq!(std::fs::read_to_string(world.path("routing.json")).unwrap(), text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_routing_is_refused_and_changes_nothing() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let before = std::fs::read(world.path("routing.json")).unwrap();
    let own = world.listen.to_string();
    let bad: [&[(&str, u8, &[&str])]; 10] = [
        &[("a", 99, &["127.0.0.1:9"])],
        &[("a", 100, &["127.0.0.1:9"]), ("b", 1, &["127.0.0.1:10"])],
        &[("a", 100, &[])],
        &[("a", 0, &["127.0.0.1:9"])],
        &[("a", 100, &["10.1.2.3:80"])],
        &[("a", 100, &["localhost:80"])],
        &[("a", 100, &["unix:../../etc/app.sock"])],
        &[("a", 100, &["unix:/run/../etc/app.sock"])],
        &[("a", 100, &[&own])],
        &[("a", 50, &["127.0.0.1:9"]), ("b", 50, &["127.0.0.1:9"])],
    ];
    for routes in bad {
        let routes = routes.iter().map(|(version, weight, addresses)| {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            (Name::new(*version).unwrap(), Route { weight: *weight, addresses })
        });
        let routing = Routing(routes.collect());
        let error = world.router.route(&world.permit, &WEB, &routing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{routing:?}");
    }
    let none = Routing::default();
    let error = world.router.route(&world.permit, &name!("shop"), &none).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read(world.path("routing.json")).unwrap(), before);
    assert_eq!(get(world.listen, "/").await.body, "1.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_routing_again_is_the_same_generation() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started().await;
    for _ in 0..2 {
        world.route(&[("1.0.0", 100, &[&upstream])]).await;
        assert!(control(&world, r#"{"op":"routing"}"#).await.contains(r#""generation":1,"#));
    }
    world.router.route(&world.permit, &WEB, &Routing::default()).await.unwrap();
    assert!(control(&world, r#"{"op":"routing"}"#).await.contains(r#""generation":2,"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_messages_that_are_not_understood_are_refused() {
    let world = World::started().await;
    let mode = std::fs::metadata(world.path("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::metadata(world.path("")).unwrap().permissions().mode() & 0o777, 0o700);
    let long = format!(r#"{{"op":"sample","version":"{}"}}"#, "a".repeat(300 * 1024));
    for bad in [
        "",
        "GET / HTTP/1.1",
        "[]",
        r#"{"op":"format"}"#,
        r#"{"op":"ping","x":1}"#,
        r#"{"op":"sample","version":"../../etc/passwd"}"#,
        r#"{"op":"route","service":"web","routing":{"../x":{"weight":100,"addresses":["127.0.0.1:9"]}}}"#,
        r#"{"op":"route","service":"web","routing":{"a":{"weight":100,"addresses":["127.0.0.1:9"],"x":1}}}"#,
        r#"{"op":"route","service":"web","routing":{"a":{"weight":300,"addresses":["127.0.0.1:9"]}}}"#,
        &long,
    ] {
        let answer = control(&world, bad).await;
        assert!(answer.contains(r#""kind":"invalid""#), "{}: {answer}", &bad[..bad.len().min(80)]);
    }
    assert!(!world.path("routing.json").exists());
    assert!(control(&world, r#"{"op":"ping"}"#).await.contains("running"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_one_hop_are_not_passed_on_in_either_direction() {
    let upstream = Upstream::start("1.0.0/1000");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let request = Request::get("/head")
        .header("host", "shop.example")
        .header("connection", "keep-alive, X-Mine")
        .header("x-mine", "1")
        .header("te", "trailers")
        .header("upgrade", "websocket")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-stays", "1")
        .body(Full::default())
        .unwrap();
    let seen = User::connect(world.listen).await.send(request).await.unwrap();
    let sent = seen.body.to_ascii_lowercase();
    for gone in ["x-mine", "te:", "upgrade", "connection", "1.2.3.4"] {
        assert!(!sent.contains(gone), "{gone} in {sent}");
    }
    for there in ["x-stays: 1", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "host: shop.example"]
    {
        assert!(sent.contains(there), "{there} not in {sent}");
    }
    let headers = seen.response.headers();
    assert!(!headers.contains_key("x-secret") && !headers.contains_key("keep-alive"), "{headers:?}");
    assert_eq!(headers["x-plain"], "1");
    assert_eq!(headers.get_all("x-flow-version").iter().collect::<Vec<_>>(), ["1.0.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_an_upstream_too() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/app.sock", directory.path().display());
    let upstream = Upstream::start_at("1.0.0/1000", address.clone());
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let answered = Load::start(world.listen, 4, 100).finish().await;
    assert_eq!(answered, BTreeMap::from([("1.0.0".into(), 400)]));
    assert!(world.router.in_flight(&WEB).await.unwrap().contains_key(&address));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_version_are_reused_and_closed_once_it_is_not_routed() {
    let (old, new) = (Upstream::start("old/60000"), Upstream::start("new"));
    let world = World::started_with(|config| {
        config.proxy.limits.keep_upstream = Duration::from_secs(600);
    })
    .await;
    let own = old.address.parse().unwrap();
    let before: u64 = get(own, "/accepted").await.body.parse().unwrap();
    world.route(&[("old", 100, &[&old])]).await;
    let mut user = User::connect(world.listen).await;
    for _ in 0..100 {
        user.get("/").await.unwrap();
    }
    let accepted: u64 = get(own, "/accepted").await.body.parse().unwrap();
    assert!(accepted - before < 20, "{} connections for 100 requests", accepted - before - 1);
    world.route(&[("new", 100, &[&new])]).await;
    // The one left is the one that asks.
    let deadline = Instant::now() + Duration::from_secs(20);
    while get(own, "/open").await.body != "1" {
        assert!(Instant::now() < deadline, "an idle connection to the old version stays open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_routed_answers_503() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started().await;
    assert_eq!(get(world.listen, "/").await.status, 503);
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    assert_eq!(get(world.listen, "/").await.status, 200);
    world.route(&[]).await;
    let seen = get(world.listen, "/").await;
    assert_eq!((seen.status.as_u16(), seen.version.as_str()), (503, ""));
    assert_eq!(world.sample("1.0.0").await, (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_answering_badly_is_a_failure_of_the_version() {
    let upstream = Upstream::start("1.0.0");
    let world =
        World::started_with(|config| config.proxy.limits.response_timeout = Duration::from_millis(300)).await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    for (path, status, failures) in
        [("/status/404", 404, 0), ("/status/500", 500, 1), ("/hold", 504, 2), ("/", 200, 2)]
    {
        assert_eq!(get(world.listen, path).await.status, status, "{path}");
        assert_eq!(world.sample("1.0.0").await.1, failures, "{path}");
    }
    let broken = User::connect(world.listen).await.get("/break").await;
    assert!(broken.is_err(), "a response that broke off must not look whole");
    assert_eq!(world.sample("1.0.0").await, (5, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_arrives_whole() {
    let upstream = Upstream::start("1.0.0/1000");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let mut user = User::connect(world.listen).await;
    let seen = user.post("/length", vec![7; 8 * 1024 * 1024].into()).await.unwrap();
    assert_eq!(seen.body, (8 * 1024 * 1024).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_whose_end_or_size_is_unclear_do_not_reach_a_version() {
    let upstream = Upstream::start("1.0.0/1000");
    let world = World::started().await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(100_000));
    for (head, status) in [
        ("content-length: 1\r\ncontent-length: 2\r\n", "400"),
        ("content-length: -1\r\n", "400"),
        ("transfer-encoding: chunked, identity\r\n", "400"),
        ("transfer-encoding: gzip, chunked\r\n", "501"),
        ("host: b\r\n", "400"),
        (&many, "431"),
        (&long, "431"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n");
        let answer = raw(world.listen, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{}: {answer}", &head[..20]);
    }
    assert_eq!(world.sample("1.0.0").await, (0, 0));
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_reported_at_once() {
    let mut bad = config(Path::new("relative"), ([127, 0, 0, 1], 0).into());
    bad.program = "program".into();
    bad.start_timeout = Duration::ZERO;
    bad.proxy.limits.max_connections = 0;
    bad.proxy.limits.max_head_bytes = 1;
    bad.proxy.limits.connect_timeout = Duration::ZERO;
    bad.env.insert("A=B".into(), String::new());
    let text = LocalRouter::new(bad).unwrap_err().to_string();
    for field in [
        "`proxy.state_dir`",
        "`proxy.listen`",
        "`proxy.limits.max_connections`",
        "`proxy.limits.max_head_bytes`",
        "`program`",
        "`start_timeout`",
        "`proxy.limits.connect_timeout`",
        "`env.A=B`",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
    let long = config(Path::new(&format!("/{}", "a".repeat(100))), free_address());
    assert!(LocalRouter::new(long).unwrap_err().to_string().contains("`proxy.state_dir`: is too long"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_does_not_keep_its_place() {
    let upstream = Upstream::start("1.0.0");
    let world = World::started_with(|config| {
        config.proxy.limits.max_connections = 1;
        config.proxy.limits.head_timeout = Duration::from_millis(500);
    })
    .await;
    world.route(&[("1.0.0", 100, &[&upstream])]).await;
    let mut silent = tokio::net::TcpStream::connect(world.listen).await.unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let begun = Instant::now();
    assert_eq!(get(world.listen, "/").await.status, 200);
    assert!(begun.elapsed() > Duration::from_millis(300), "it waited for the only place");
}

/// Sends one line to the control socket and reads one back.
async fn control(world: &World, line: &str) -> String {
    let stream = tokio::net::UnixStream::connect(world.path("control.sock")).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let line = format!("{line}\n");
    // The proxy stops reading a line that is too long, so the rest of it may not be taken.
    let writing = tokio::spawn(async move { writer.write_all(line.as_bytes()).await.map(|()| writer) });
    let mut answer = String::new();
    tokio::io::BufReader::new(reader).read_line(&mut answer).await.unwrap();
    let _ = writing.await.unwrap();
    answer
}

fn chain(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
