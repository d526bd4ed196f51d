use std::time::{Duration, Instant};

use flow_proving::load::Client;

use crate::stage::{Behind, Stage, trials};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_one_switch_to_the_kept_colour() {
    let stage = Stage::set(Behind::Link).await;
    stage.deploy(&stage.good("old")).await.is("deployed", 0);
    let old = stage.running(1).await;
    let users = stage.users(Client::New, 200);
    let (mut switches, mut calls) = (Vec::new(), Vec::new());
    for round in 0..trials(5, 50) {
        stage.deploy(&stage.good(&format!("new-{round}"))).await.is("deployed", 0);
        let called = Instant::now();
        let told = stage.tell(&["rollback"]).await;
        told.is("rolled_back", 3);
        assert_eq!(stage.running(1).await, old, "the kept colour never ended");
        switches.push(told.line["ms"]["switch"].as_f64().unwrap());
        calls.push(called..Instant::now());
    }
    let log = users.stop().await.unwrap();
    assert_eq!(log.failures().count(), 0, "{}", log.summary());
    // From the call of the command to the last request that the new colour got.
    let mut slowest = Duration::ZERO;
    for (round, call) in calls.iter().enumerate() {
        let taken_back = format!("new-{round}");
        let of_it = log.0.iter().filter(|record| record.version.as_deref() == Some(taken_back.as_str()));
        let last = of_it.map(|record| record.start).max().unwrap();
        assert!(last < call.end, "it got a request after it was taken back");
        slowest = slowest.max(last.saturating_duration_since(call.start));
    }
    println!("the slowest was back after {slowest:?}");
    switches.sort_by(f64::total_cmp);
    println!(
        "switch back: median {} ms, slowest {} ms",
        switches[switches.len() / 2],
        switches[switches.len() - 1]
    );
    stage.tell(&["rollback"]).await.is("refused", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_could_not_be_planned_leaves_the_way_back_and_the_next_one_ends_it() {
    let stage = Stage::set(Behind::Link).await;
    stage.deploy(&stage.good("old")).await.is("deployed", 0);
    stage.deploy(&stage.good("new")).await.is("deployed", 0);
    // What a user's own hand has changed is a conflict.
    let link = stage.live();
    let kept = std::fs::read_link(&link).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    stage.deploy(&stage.good("newer")).await.is("refused", 2);
    stage.running(2).await;
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(kept, &link).unwrap();
    stage.deploy(&stage.good("newest")).await.is("deployed", 0);
    stage.running(2).await;
    stage.tell(&["rollback"]).await.is("rolled_back", 3);
    stage.running(1).await;
}
