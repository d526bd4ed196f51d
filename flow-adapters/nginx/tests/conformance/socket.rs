//! Links and slots under load, and what is refused with the old routing in force.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::port::{Router, Routing};
use flow_core::{ErrorKind, Name};
use flow_nginx::{AccessLog, KeepAlive, SocketConfig, SocketRouter, Stickiness};
use flow_proving::load::{Client, Load};
use flow_proving::{Outside, Request, exchange, is_long, until};

use crate::world::{Ground, NEW, OLD, Sockets, WEB, all_to, clock, nth, routing};

async fn slots() -> Outside<Sockets> {
    Sockets::start(|config| config).await
}

async fn two(world: &Sockets) -> Outside<([String; 1], [String; 1])> {
    Ok(([world.ground.socket_backend(&OLD).await?], [world.ground.socket_backend(&NEW).await?]))
}

async fn shift(world: &Sockets, number: u32, old: &[String], new: &[String], share: u8) -> Outside<Duration> {
    let mut put = routing(&[(OLD, 100 - share, old), (NEW, share, new)]);
    put.0.retain(|_, route| route.weight > 0);
    let begun = Instant::now();
    world.router.route(&nth(number), &WEB, &put).await?;
    Ok(begun.elapsed())
}

/// Who answers each of so many requests, a few at a time; each with a cookie of its own.
async fn answered_by(ground: &Ground, count: usize) -> Outside<Vec<Option<Name>>> {
    let ask = async |number: usize| -> Outside<Option<Name>> {
        let request = Request::get("/").header("cookie", &format!("uid=user-{number}"));
        let reply = exchange(&ground.listen.address(), &request).await?;
        Ok(ground.backends.lock().unwrap().get(&reply.text()).map(|(version, _)| version.clone()))
    };
    let mut answers = Vec::with_capacity(count);
    for begin in (0..count).step_by(8) {
        let some = (begin..count.min(begin + 8)).map(&ask);
        for answer in futures::future::join_all(some).await {
            answers.push(answer?);
        }
    }
    Ok(answers)
}

#[tokio::test]
async fn slots_divide_exactly_and_move_at_once_without_a_reload() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    let (workers, count) = (world.nginx.workers(), if is_long() { 20_000 } else { 1_200 });
    for (number, share) in (1..).zip([1, 5, 25, 50]) {
        let taken = shift(&world, number, &old, &new, share).await?;
        let answers = answered_by(&world.ground, count).await?;
        let by_new = answers.iter().filter(|answer| **answer == Some(NEW)).count();
        println!("{share} %: {by_new} of {count}, moved in {:.2} ms", taken.as_secs_f64() * 1e3);
        assert!(!answers.contains(&None));
        let expected = count * usize::from(share) / 100;
        assert!(by_new.abs_diff(expected) <= (count / 1_000).max(1), "{share} %: {by_new} of {count}");
    }
    assert_eq!(world.nginx.workers(), workers, "nginx was touched");
    Ok(())
}

#[tokio::test]
async fn a_user_stays_with_a_version_that_grows_and_goes_back_the_way_he_came() -> Outside<()> {
    let stickiness = Stickiness::Cookie("uid".to_owned());
    let world = Sockets::start(|config| SocketConfig { stickiness, ..config }).await?;
    let (old, new) = two(&world).await?;
    let count = if is_long() { 20_000 } else { 1_000 };
    let mut before: BTreeSet<usize> = BTreeSet::new();
    let mut at_five = BTreeSet::new();
    for (number, share) in (1..).zip([1, 5, 25, 50, 25, 5]) {
        shift(&world, number, &old, &new, share).await?;
        let answers = answered_by(&world.ground, count).await?;
        let users: BTreeSet<usize> = (0..count).filter(|user| answers[*user] == Some(NEW)).collect();
        let (observed, wanted) = (users.len() as f64 / count as f64, f64::from(share) / 100.0);
        let binomial = 3.29 * (wanted * (1.0 - wanted) / count as f64).sqrt();
        println!("{share} %: {:.3} % of {count} users", observed * 100.0);
        assert!((observed - wanted).abs() <= binomial + 0.005, "{share} %: {} of {count}", users.len());
        match number {
            1..=4 => assert!(before.is_subset(&users), "a user went back while the share grew to {share} %"),
            _ => assert!(users.is_subset(&before), "a user came while the share fell to {share} %"),
        }
        match number {
            2 => at_five = users.clone(),
            6 => assert_eq!(users, at_five, "the same users as before"),
            _ => {}
        }
        before = users;
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_canary_fails_no_get_repeats_no_post_and_shows_as_dead() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    let log = AccessLog::of_sockets(&world.config, clock())?;
    // All to the canary, so that the request that it holds is its own.
    shift(&world, 1, &old, &new, 100).await?;
    let listen = world.ground.listen.address();
    let held =
        tokio::spawn(async move { exchange(&listen, &Request::with_body("POST", "/hold", "x")).await });
    while world.ground.waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shift(&world, 2, &old, &new, 25).await?;
    world.ground.kill(&new[0]).await;
    assert_eq!(held.await??.status, 502, "the POST was answered by somebody else");
    assert_eq!(world.ground.waiting(), 0, "the POST was sent again");
    // nginx writes a request down behind its answer.
    let before = until("the POST was written down", async || {
        let counts = [log.counts(&OLD).await?, log.counts(&NEW).await?].map(Option::unwrap_or_default);
        Ok((counts[1].failures > 0).then_some(counts))
    })
    .await?;

    let answers = answered_by(&world.ground, 400).await?;
    assert!(answers.iter().all(|answer| *answer == Some(OLD)), "{answers:?}");
    let counts = until("all were written down", async || {
        let counts = [log.counts(&OLD).await?, log.counts(&NEW).await?].map(Option::unwrap_or_default);
        Ok((counts[0].requests >= before[0].requests + 400).then_some(counts))
    });
    let [[old_before, before], [old, new]] = [before, counts.await?];
    assert_eq!((old.requests - old_before.requests, old.failures - old_before.failures), (400, 0));
    let requests = new.requests - before.requests;
    // nginx tries several dead slots for one request, so fewer than a quarter of the requests find one.
    assert!((10..=140).contains(&requests), "{requests} of 400 at 25 %");
    assert_eq!(new.failures - before.failures, requests, "not one was answered");
    assert_eq!(new.masked - before.masked, requests, "and no user saw it");
    Ok(())
}

#[tokio::test]
async fn switches_under_load_fail_no_request_of_any_client() -> Outside<()> {
    let config = |config: SocketConfig| SocketConfig { places: 1, ..config };
    let world = Sockets::start(config).await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    let workers = world.nginx.workers();
    let switches = if is_long() { 100 } else { 10 };
    for client in [Client::Careful, Client::Naive, Client::New] {
        let load = Load::of(world.ground.listen.address(), client).at_rate(150).start()?;
        let mut taken = Vec::new();
        for number in 0..switches {
            load.until(|log| log.requests() > 20 * (number as usize + 1)).await?;
            let share = if number % 2 == 0 { 100 } else { 0 };
            taken.push(shift(&world, number + 2, &old, &new, share).await?);
        }
        taken.sort_unstable();
        let summary = load.stop().await?.summary();
        let median = taken[taken.len() / 2].as_secs_f64() * 1e3;
        println!("{client:?}: {switches} switches, median {median:.2} ms, {summary}");
        assert_eq!(summary.failures(), 0, "{client:?}: {summary}");
    }
    assert_eq!(world.nginx.workers(), workers, "nginx was touched");
    Ok(())
}

#[tokio::test]
async fn idle_connections_that_nginx_keeps_are_told_from_requests_under_way() -> Outside<()> {
    // Long enough to be sure to find one idle, whatever else the machine does.
    let bound = Duration::from_millis(700);
    let keep_alive = Some(KeepAlive { connections: 16, time: bound, idle: bound });
    let world = Sockets::start(|config| SocketConfig { places: 1, keep_alive, ..config }).await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    let ground = Arc::new(world.ground.listen.address());
    let held = tokio::spawn(async move { exchange(&ground, &Request::get("/hold")).await });
    while world.ground.waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..8 {
        world.ground.ask("/").await?;
    }
    shift(&world, 2, &old, &new, 100).await?;
    for _ in 0..8 {
        assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    }
    let in_flight = world.router.in_flight(&WEB).await?;
    assert_eq!(in_flight.get(&old[0]), Some(&1), "{in_flight:?}");
    world.ground.backends.lock().unwrap()[&old[0]].1.release();
    assert_eq!(held.await??.status, 200);
    until("it is drained", async || {
        Ok((!world.router.in_flight(&WEB).await?.contains_key(&old[0])).then_some(()))
    })
    .await
}

/// What stands below the directory of the links, but for the times of the switches.
fn tree(world: &Sockets) -> Outside<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut left = vec![world.config.directory.clone()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let target = fs::read_link(&path).map(|to| to.display().to_string()).unwrap_or_default();
            found.insert(format!("{} {target}", path.display()));
            if kind.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_refused_and_leaves_nothing_behind() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    let before = tree(&world)?;
    world.ground.kill(&new[0]).await;
    // The same socket by another spelling could not be counted: nobody listens under this path either.
    let link = world.ground.at("other.sock");
    symlink(world.ground.at("app-0.sock"), &link)?;
    for address in [new[0].clone(), format!("unix:{}", link.display())] {
        let error = world.router.route(&nth(2), &WEB, &all_to(&NEW, &address)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
    assert_eq!(world.router.routing(&WEB).await?, all_to(&OLD, &old[0]));
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(OLD));
    assert_eq!(tree(&world)?, before);
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_changed_is_a_conflict_and_stays_as_it_is() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 5).await?;
    let live = world.config.directory.join("live");
    let refused = async |world: &Sockets| -> Outside<()> {
        let before = tree(world)?;
        let errors = [
            world.router.routing(&WEB).await.unwrap_err(),
            world.router.route(&nth(2), &WEB, &all_to(&OLD, &old[0])).await.unwrap_err(),
            world.router.in_flight(&WEB).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
        assert_eq!(tree(world)?, before);
        Ok(())
    };
    let (place, aside) = (live.join("07.sock"), live.join("aside"));
    fs::rename(&place, &aside)?;
    refused(&world).await?;
    symlink("/nowhere", &place)?;
    refused(&world).await?;
    fs::rename(&aside, &place)?;
    world.router.routing(&WEB).await?;

    let record = live.join("routing.json");
    let text = fs::read_to_string(&record)?;
    for edited in
        [text.replace("\"weight\": 5", "\"weight\": 6"), text[..text.len() / 2].to_owned(), String::new()]
    {
        fs::write(&record, edited)?;
        refused(&world).await?;
    }
    fs::write(&record, text)?;
    world.router.routing(&WEB).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_dead_controller_left_is_finished_or_swept() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    let directory = &world.config.directory;
    // It died while it laid a table, and while it switched.
    let junk = directory.join("tables/0123456789ab");
    fs::create_dir(&junk)?;
    symlink("/nowhere", junk.join("00.sock"))?;
    symlink("tables/0123456789ab", directory.join(".live.new"))?;
    let next = SocketRouter::new(world.config.clone(), clock())?;
    next.route(&nth(2), &WEB, &all_to(&NEW, &new[0])).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    assert!(!junk.exists());
    assert!(fs::symlink_metadata(directory.join(".live.new")).is_err());

    // It died behind the switch, before that was written down.
    let history = directory.join("history.json");
    let mut list: serde_json::Value = serde_json::from_slice(&fs::read(&history)?)?;
    list["switches"].as_array_mut().unwrap().last_mut().unwrap()["settled"] = serde_json::Value::Null;
    fs::write(&history, serde_json::to_vec(&list)?)?;
    next.route(&nth(2), &WEB, &all_to(&NEW, &new[0])).await?;
    let list: serde_json::Value = serde_json::from_slice(&fs::read(&history)?)?;
    assert!(list["switches"].as_array().unwrap().last().unwrap()["settled"].is_number());
    Ok(())
}

#[tokio::test]
async fn a_second_controller_and_a_directory_open_to_all_are_refused() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    let lock = fs::File::open(world.config.directory.join(".lock"))?;
    lock.lock()?;
    let to_new = all_to(&NEW, &new[0]);
    let error = world.router.route(&nth(2), &WEB, &to_new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    drop(lock);
    fs::set_permissions(&world.config.directory, fs::Permissions::from_mode(0o777))?;
    let error = world.router.route(&nth(2), &WEB, &to_new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(OLD));
    Ok(())
}

#[tokio::test]
async fn a_killed_master_changes_nothing_for_links() -> Outside<()> {
    let world = slots().await?;
    let (old, new) = two(&world).await?;
    shift(&world, 1, &old, &new, 0).await?;
    world.nginx.kill_master();
    shift(&world, 2, &old, &new, 100).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    assert!(world.router.in_flight(&WEB).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn one_link_takes_one_address_and_says_so() -> Outside<()> {
    let world = Sockets::start(|config| SocketConfig { places: 1, ..config }).await?;
    let (old, new) = two(&world).await?;
    let both = [old[0].clone(), new[0].clone()];
    let error = world.router.route(&nth(1), &WEB, &routing(&[(OLD, 100, &both)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!((world.router.granularity(), world.router.routing(&WEB).await?), (100, Routing::default()));
    Ok(())
}

#[test]
fn every_field_of_a_bad_configuration_is_named_at_once() {
    let bad = SocketConfig {
        places: 3,
        stickiness: Stickiness::Cookie("uid;$(id)\n".to_owned()),
        keep_alive: Some(KeepAlive { connections: 0, time: Duration::ZERO, idle: Duration::from_secs(60) }),
        ..SocketConfig::slots(WEB, "../run/a b;", "log}\n")
    };
    let problems = bad.block().unwrap_err();
    let fields: Vec<&str> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    let expected = [
        "directory",
        "access_log",
        "places",
        "stickiness",
        "keep_alive.connections",
        "keep_alive.time",
        "keep_alive.idle",
    ];
    assert_eq!(fields, expected);
}
