//! How an instance ends.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use flow_core::ErrorKind;
use flow_core::port::ProcessManager;
use flow_testkit::permit;

use super::world::{GRACE, WEB, World, named, number_in, script};
use crate::outside::{processes_of, runs};

#[tokio::test]
async fn a_stopped_instance_is_asked_first_and_is_gone_afterwards() {
    let world = World::new();
    let (ready, asked) = (world.file("ready"), world.file("asked"));
    let polite = script(
        "web-1",
        &format!(
            "trap 'echo yes > {}; exit 0' TERM; echo 1 > {}; while :; do sleep 0.05; done",
            asked.display(),
            ready.display(),
        ),
    );
    let pid = world.launch(&polite).await.unwrap().pid.unwrap();
    number_in(&ready).await;
    world.stop("web-1", GRACE).await.unwrap();

    assert_eq!(fs::read_to_string(asked).unwrap(), "yes\n");
    assert!(!runs(pid));
    assert!(!world.state_file("web-1").exists());
    assert!(world.manager.log(&WEB, &named("web-1")).exists(), "the log stays");
}

#[tokio::test]
async fn everything_of_an_instance_ends_with_it() {
    let world = World::new();
    let (child, apart) = (world.file("child"), world.file("apart"));
    // One worker in the group, and one that has left it with its environment.
    let family = script(
        "web-1",
        &format!(
            "sleep 1000 & echo $! > {}; setsid sh -c 'echo $$ > {}; trap \"\" TERM; while :; do sleep 0.05; done' & wait",
            child.display(),
            apart.display(),
        ),
    );
    let pid = world.launch(&family).await.unwrap().pid.unwrap();
    let (child, apart) = (number_in(&child).await, number_in(&apart).await);
    assert!(processes_of(&world.root()).is_superset(&BTreeSet::from([pid, child, apart])));
    world.stop("web-1", Duration::from_millis(300)).await.unwrap();

    assert!(!runs(pid) && !runs(child) && !runs(apart));
    assert!(processes_of(&world.root()).is_empty());
}

#[tokio::test]
async fn workers_that_outlive_the_first_process_are_waited_for() {
    let world = World::new();
    let worker = world.file("worker");
    let family = script(
        "web-1",
        &format!(
            "sh -c 'trap \"sleep 0.3; exit 0\" TERM; echo $$ > {}; while :; do sleep 0.05; done' & wait",
            worker.display(),
        ),
    );
    let pid = world.launch(&family).await.unwrap().pid.unwrap();
    let worker = number_in(&worker).await;
    world.stop("web-1", GRACE).await.unwrap();
    assert!(!runs(pid) && !runs(worker));
}

#[tokio::test]
async fn a_stop_that_is_cancelled_says_so_and_the_next_one_finishes_it() {
    let world = World::new();
    let ready = world.file("ready");
    let stubborn =
        script("web-1", &format!("trap '' TERM; echo 1 > {}; while :; do sleep 0.05; done", ready.display()));
    let pid = world.launch(&stubborn).await.unwrap().pid.unwrap();
    number_in(&ready).await;
    let permit = permit();
    let web_1 = named("web-1");
    let (stopped, ()) = tokio::join!(world.manager.stop(&permit, &WEB, &web_1, Duration::MAX), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        permit.cancel().cancel();
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(runs(pid));

    world.stop("web-1", Duration::ZERO).await.unwrap();
    assert!(!runs(pid));
}
