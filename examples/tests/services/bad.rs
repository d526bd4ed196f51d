use std::time::Instant;

use flow_proving::Port;
use flow_proving::app::Behaviour;
use flow_proving::load::{Client, Load, Log};

use crate::stage::{Behind, Stage, trials};

fn bad(version: &str) -> [(&'static str, Behaviour); 4] {
    let of = |kind: &str| Behaviour::of(&format!("{version}-{kind}"));
    [
        ("crashes at boot", Behaviour { crash_at_boot: true, ..of("boot") }),
        ("is never ready", Behaviour { never_ready: true, ..of("never") }),
        ("dies after it was ready", Behaviour { dies_after_ms: late(), ..of("late") }),
        ("listens elsewhere", Behaviour { wrong_address: true, ..of("elsewhere") }),
    ]
}

/// When it dies, in milliseconds after it was ready; the time that it must settle is half as long again.
fn late() -> u64 {
    if flow_proving::is_long() { 2_000 } else { 500 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_is_refused_before_the_switch_and_users_meet_nothing_of_it() {
    let stage =
        Stage::set(Behind::Link).await.with("settle_ms", late() * 3 / 2).with("ready_timeout_ms", 6_000);
    stage.deploy(&stage.good("good")).await.is("deployed", 0);
    let before = stage.running(1).await;
    let users = stage.users(Client::Careful, 100);
    for round in 0..trials(1, 10) {
        for (how, behaviour) in bad(&round.to_string()) {
            let told = stage.deploy(&stage.release(&behaviour)).await;
            println!("{how}: {} in {:?}", told.line, told.took);
            told.is("refused", 2);
            assert_eq!(stage.running(1).await, before, "a release that {how}");
        }
    }
    let log = users.stop().await.unwrap();
    assert_eq!(log.failures().count(), 0, "{}", log.summary());
    assert_eq!(log.answered_by("good"), log.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_dies_once_it_serves_is_taken_back_to_the_warm_colour() {
    let stage = Stage::set(Behind::Link).await.with("settle_ms", 100).with("bake_ms", 3_000);
    stage.deploy(&stage.good("good")).await.is("deployed", 0);
    let before = stage.running(1).await;
    let users = stage.users(Client::Careful, 100);
    let dying = Behaviour { dies_after_ms: 1_500, ..Behaviour::of("dying") };
    let told = stage.deploy(&stage.release(&dying)).await;
    told.is("rolled_back", 3);
    assert_eq!(stage.running(1).await, before);
    let seen = Instant::now();
    users.until(|log| log.between(seen, Instant::now()).requests() >= 50).await.unwrap();
    let log = users.stop().await.unwrap();
    println!("{} failed of {} while it was dead: {}", log.failures().count(), log.requests(), told.line);
    let after = log.between(seen, Instant::now());
    assert_eq!(after.failures().count(), 0, "{}", after.summary());
    assert!(log.answered_by("dying") > 0, "users met it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_by_pm2_of_a_release_that_crashes_at_boot_says_that_all_is_well_while_nobody_is_served() {
    let stage = Stage::set(Behind::Link).await;
    let (plain, port) = (stage.good("plain"), Port::free().unwrap());
    let script = plain.join("app.js").display().to_string();
    let mut start = stage.pm2().command().unwrap();
    start.args(["start", &script, "--name", "plain"]).env("PORT", port.number().to_string());
    assert!(start.output().unwrap().status.success());
    let users = Load::of(port.address(), Client::New).at_rate(100).start().unwrap();
    users.until(|log| log.answered_by("plain") > 10).await.unwrap();
    Behaviour { crash_at_boot: true, ..Behaviour::of("plain") }.write_to(&plain).unwrap();
    let reloaded = stage.pm2().run(["reload", "plain"]).unwrap();
    assert_eq!(reloaded.status.code(), Some(0));
    let outage = |log: &Log| log.0.iter().rev().take(50).all(|record| record.failure.is_some());
    users.until(outage).await.unwrap();
    println!("pm2 reload: {}", users.stop().await.unwrap().summary());
}
