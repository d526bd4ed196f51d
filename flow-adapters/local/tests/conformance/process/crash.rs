//! What controllers leave behind when they die, and what state files say that is not so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use flow_core::port::ProcessManager;
use flow_core::{Digest, ErrorKind};
use flow_testkit::permit;
use serde_json::{Value, json};

use super::child::controller;
use super::world::{Bystander, GRACE, WEB, World, kill, named, sleeper};
use crate::outside::{processes_of, runs, start_of, state_of, until};

#[tokio::test]
async fn an_instance_outlives_its_killed_controller_and_the_next_one_finds_and_stops_it() {
    let world = World::new();
    let spec = sleeper("web-1");
    let mut first = controller("controller", &world.root(), &spec).spawn().unwrap();
    let recorded = || {
        fs::read(world.state_file("web-1")).is_ok_and(|state| {
            serde_json::from_slice::<Value>(&state).is_ok_and(|state| state["process"]["pid"].is_u64())
        })
    };
    until("the instance is recorded", recorded).await;
    kill(first.id());
    assert_eq!(first.wait().unwrap().signal(), Some(9));

    let found = world.manager.instances(&WEB).await.unwrap();
    let pid = found[0].pid.unwrap();
    assert_eq!(processes_of(&world.root()), BTreeSet::from([pid]));
    assert_eq!(world.manager.launched(&WEB, &named("web-1")).await.unwrap(), spec);
    assert_eq!(world.launch(&spec).await.unwrap(), found[0]);
    assert_eq!(processes_of(&world.root()), BTreeSet::from([pid]));

    world.stop("web-1", GRACE).await.unwrap();
    assert!(!runs(pid));
    assert!(!world.state_file("web-1").exists());
}

#[tokio::test]
async fn a_controller_killed_between_start_and_record_leaves_no_orphan() {
    let world = World::new();
    let spec = sleeper("web-1");
    let mut first =
        controller("controller that dies before it records", &world.root(), &spec).spawn().unwrap();
    assert_eq!(first.wait().unwrap().signal(), Some(9), "the controller was killed");
    assert_eq!(world.state("web-1")["process"], Value::Null, "it had not recorded the process");
    // It may have died before its child became its program.
    until("the process runs", || processes_of(&world.root()).len() == 1).await;
    let orphans = processes_of(&world.root());

    assert_eq!(BTreeSet::from_iter(world.pids().await), orphans, "it is seen before it is recorded");
    let adopted = world.launch(&spec).await.unwrap();
    assert_eq!(BTreeSet::from([adopted.pid.unwrap()]), orphans);
    assert_eq!(processes_of(&world.root()), orphans, "no second one was started");
    assert_eq!(world.state("web-1")["process"]["pid"], json!(adopted.pid));

    world.stop("web-1", GRACE).await.unwrap();
    assert_eq!(processes_of(&world.root()), BTreeSet::new());
}

#[tokio::test]
async fn an_unrecorded_process_is_stopped_without_ever_being_adopted() {
    let world = World::new();
    let mut first = controller("controller that dies before it records", &world.root(), &sleeper("web-1"))
        .spawn()
        .unwrap();
    assert_eq!(first.wait().unwrap().signal(), Some(9));
    until("the process runs", || processes_of(&world.root()).len() == 1).await;

    world.stop("web-1", GRACE).await.unwrap();
    assert_eq!(processes_of(&world.root()), BTreeSet::new());
    assert!(!world.state_file("web-1").exists());
}

#[tokio::test]
async fn an_unrecorded_process_of_another_digest_is_refused_and_left_alone() {
    let world = World::new();
    let mut spec = sleeper("web-1");
    let mut first =
        controller("controller that dies before it records", &world.root(), &spec).spawn().unwrap();
    assert_eq!(first.wait().unwrap().signal(), Some(9));
    until("the process runs", || processes_of(&world.root()).len() == 1).await;
    let before = processes_of(&world.root());

    spec.digest = Digest::of(b"2.0.0");
    assert_eq!(world.launch(&spec).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(processes_of(&world.root()), before);
}

#[tokio::test]
async fn two_controllers_launching_the_same_instance_at_once_start_one_process() {
    let world = World::new();
    let (other, spec) = (world.next_controller(), sleeper("web-1"));
    let (left, right) = (permit(), permit());
    let (left, right) = tokio::join!(world.manager.launch(&left, &spec), other.launch(&right, &spec));

    assert_eq!(left.unwrap(), right.unwrap());
    assert_eq!(processes_of(&world.root()).len(), 1);
}

#[tokio::test]
async fn a_reused_process_id_is_neither_listed_nor_signalled() {
    let world = World::new();
    world.launch(&sleeper("web-1")).await.unwrap();
    let pid = world.pids().await[0];
    kill(pid);
    until("the instance is gone", || !runs(pid)).await;

    let bystander = Bystander::new();
    let start = start_of(bystander.id());
    world.forge("web-1", |state| {
        state["process"]["pid"] = json!(bystander.id());
        state["process"]["start_time"] = json!(start - 1);
    });
    assert!(world.pids().await.is_empty());
    world.stop("web-1", Duration::ZERO).await.unwrap();
    assert!(runs(bystander.id()), "the bystander lives");
    assert!(!world.state_file("web-1").exists());
}

#[tokio::test]
async fn a_process_id_of_an_earlier_boot_is_neither_listed_nor_signalled() {
    let world = World::new();
    let bystander = Bystander::new();
    world.launch(&sleeper("web-1")).await.unwrap();
    let pid = world.pids().await[0];
    kill(pid);
    until("the instance is gone", || !runs(pid)).await;
    world.forge("web-1", |state| {
        state["process"]["pid"] = json!(bystander.id());
        state["process"]["start_time"] = json!(start_of(bystander.id()));
        state["process"]["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
    });
    assert!(world.pids().await.is_empty());
    world.stop("web-1", Duration::ZERO).await.unwrap();
    assert!(runs(bystander.id()), "the bystander lives");
}

#[tokio::test]
async fn a_process_that_belongs_to_another_manager_is_not_taken_for_an_own_one() {
    let (world, other) = (World::new(), World::new());
    world.launch(&sleeper("web-1")).await.unwrap();
    let foreign = other.launch(&sleeper("web-1")).await.unwrap().pid.unwrap();
    let pid = world.pids().await[0];
    world.forge("web-1", |state| {
        state["process"]["pid"] = json!(foreign);
        state["process"]["start_time"] = json!(start_of(foreign));
    });
    world.stop("web-1", Duration::ZERO).await.unwrap();
    assert!(runs(foreign));
    assert!(!runs(pid), "its own is found by its marker");
}

#[tokio::test]
async fn a_zombie_is_not_listed() {
    let world = World::new();
    world.launch(&sleeper("web-1")).await.unwrap();
    let pid = world.pids().await[0];
    kill(pid);
    // A child that its parent, this test, does not reap.
    let zombie = Bystander::new();
    world.forge("web-1", |state| {
        state["process"]["pid"] = json!(zombie.id());
        state["process"]["start_time"] = json!(start_of(zombie.id()));
    });
    assert_eq!(world.pids().await, [zombie.id()], "it is listed while it runs");

    kill(zombie.id());
    until("it is a zombie", || state_of(zombie.id()) == Some('Z')).await;
    assert!(world.pids().await.is_empty());
}

#[tokio::test]
async fn a_living_controller_reaps_what_it_started() {
    let world = World::new();
    let pid = world.launch(&sleeper("web-1")).await.unwrap().pid.unwrap();
    kill(pid);
    until("nothing is left of it, not even a zombie", || state_of(pid).is_none()).await;
    assert!(world.pids().await.is_empty());
}

#[tokio::test]
async fn a_damaged_or_newer_state_file_is_refused_by_name_and_left_as_it_is() {
    let world = World::new();
    world.launch(&sleeper("web-1")).await.unwrap();
    let pid = world.pids().await[0];
    let good = fs::read(world.state_file("web-1")).unwrap();
    let newer = String::from_utf8(good.clone()).unwrap().replace("\"format\": 1", "\"format\": 2");
    let unknown =
        String::from_utf8(good.clone()).unwrap().replace("\"format\": 1", "\"format\": 1, \"x\": 1");
    for bad in ["{", "", newer.as_str(), unknown.as_str()] {
        fs::write(world.state_file("web-1"), bad).unwrap();
        let refused = [
            world.manager.instances(&WEB).await.map(drop).unwrap_err(),
            world.launch(&sleeper("web-1")).await.map(drop).unwrap_err(),
            world.stop("web-1", GRACE).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{bad}: {error}");
            assert!(error.to_string().contains("web-1.json"), "{error}");
        }
        assert_eq!(fs::read_to_string(world.state_file("web-1")).unwrap(), bad);
        assert!(runs(pid));
    }
    fs::write(world.state_file("web-1"), good).unwrap();
    world.stop("web-1", GRACE).await.unwrap();
    assert!(!runs(pid));
}
