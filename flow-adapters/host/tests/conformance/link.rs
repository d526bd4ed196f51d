//! Pointing `current` to a release, and removing old ones.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::prelude::*;
use flow_core::stage::Services;
use flow_host::{LinkRelease, PlaceRelease, ReleaseConfig};
use flow_testkit::conformance::step::StepFixture;
use flow_testkit::permit;

use crate::world::{HOSTS, World};

/// A world with releases placed, oldest first, of which `current` leads to `first` and the last is to be linked.
async fn placed(versions: &[&str], first: &str) -> World {
    let mut world = World::new();
    for version in versions {
        let hex = world.build(version);
        let step = PlaceRelease::new(world.hosts(), world.config());
        let cx = world.context();
        let before = step.capture(&cx).await.unwrap();
        step.run(&cx, &permit(), &before).await.unwrap();
        if *version == first {
            for host in HOSTS {
                std::os::unix::fs::symlink(format!("releases/{hex}"), world.root(host).join("current"))
                    .unwrap();
            }
        }
    }
    world
}

fn hex(version: &str) -> String {
    Digest::of(version.as_bytes()).hex()
}

fn step(world: &World, keep: u32) -> LinkRelease {
    LinkRelease::new(world.hosts(), ReleaseConfig { keep, ..world.config() })
}

/// Which releases stand on a host, by version.
fn stand(world: &World, host: &str, versions: &[&str]) -> Vec<String> {
    let stands = |version: &&&str| world.release(host, &hex(version)).is_dir();
    versions.iter().filter(stands).map(|version| (*version).to_owned()).collect()
}

fn current(world: &World, host: &str) -> Option<String> {
    fs::read_link(world.root(host).join("current")).ok().map(|path| path.display().to_string())
}

mod conformance {
    use super::*;

    const VERSIONS: [&str; 4] = ["1", "2", "3", "4"];

    struct Linking(World);

    #[async_trait]
    impl StepFixture for Linking {
        type Stage = Services;

        fn step(&self) -> Arc<dyn Step<Services>> {
            Arc::new(step(&self.0, 2))
        }
        fn context(&self) -> StepContext<Services> {
            self.0.context()
        }
        /// The first two releases may be removed, and then stay so.
        async fn seen(&self) -> String {
            let mut seen = self.0.seen();
            seen.retain(|path, _| !path.contains(&hex("2")) && !path.contains(".release-"));
            format!("{seen:?}")
        }
        async fn changes(&self) -> Option<usize> {
            Some(self.0.breaks.made())
        }
        async fn break_at(&self, nth: usize) -> Option<()> {
            self.0.breaks.at(nth);
            Some(())
        }
        async fn mend(&self) -> bool {
            self.0.breaks.mend()
        }
        async fn forbid(&self) -> Option<&'static str> {
            fs::remove_dir_all(self.0.release("web-2", &hex("4"))).ok()?;
            Some("the release is missing on one of the hosts")
        }
        fn takes(&self) -> Duration {
            Duration::from_secs(120)
        }
    }

    async fn fresh() -> Linking {
        Linking(placed(&VERSIONS, "1").await)
    }

    flow_testkit::step_conformance!(fresh);
}

#[tokio::test]
async fn current_leads_to_the_release_and_back_to_where_it_led() {
    let world = placed(&["1", "2"], "1").await;
    let (step, cx) = (step(&world, 5), world.context());
    let before = step.capture(&cx).await.unwrap();
    let receipt = step.run(&cx, &permit(), &before).await.unwrap();
    for host in HOSTS {
        assert_eq!(current(&world, host), Some(format!("releases/{}", hex("2"))));
        assert_eq!(fs::read_to_string(world.root(host).join("current/server.js")).unwrap(), "// 2");
    }
    step.roll_back(&cx, &permit(), &before, &Outcome::Finished(receipt)).await.unwrap();
    assert!(HOSTS.iter().all(|host| current(&world, host) == Some(format!("releases/{}", hex("1")))));
}

#[tokio::test]
async fn a_first_release_is_taken_back_to_no_link_at_all() {
    let world = placed(&["1"], "none").await;
    let (step, cx) = (step(&world, 5), world.context());
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit(), &before).await.unwrap();
    step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert!(HOSTS.iter().all(|host| fs::symlink_metadata(world.root(host).join("current")).is_err()));
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn old_releases_go_but_never_one_to_go_back_to_nor_one_that_runs() {
    let all = ["1", "2", "3", "4", "5", "6"];
    let world = placed(&all, "2").await;
    fs::create_dir(world.root("web-1").join("releases").join("f".repeat(64))).unwrap();
    let mut sleep = std::process::Command::new("sleep");
    sleep.arg("600").current_dir(world.release("web-1", &hex("3"))).stdout(Stdio::null());
    let runs = Running(sleep.spawn().unwrap());

    let (step, cx) = (step(&world, 2), world.context());
    let before = step.capture(&cx).await.unwrap();
    let receipt = step.run(&cx, &permit(), &before).await.unwrap();
    assert_eq!(stand(&world, "web-1", &all), ["2", "3", "5", "6"]);
    assert_eq!(stand(&world, "web-2", &all), ["2", "5", "6"]);
    assert!(world.root("web-1").join("releases").join("f".repeat(64)).is_dir(), "nobody placed it");
    assert_eq!(receipt.evidence[0].observed["removed"]["web-2"].as_array().unwrap().len(), 3);

    drop(runs);
    step.run(&cx, &permit(), &before).await.unwrap();
    assert_eq!(stand(&world, "web-1", &all), ["2", "5", "6"]);
    step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(fs::read_to_string(world.root("web-1").join("current/server.js")).unwrap(), "// 2");
}

#[tokio::test]
async fn a_link_that_somebody_else_changed_is_a_conflict_and_stays_theirs() {
    let world = placed(&["1", "2", "3"], "1").await;
    let (step, cx) = (step(&world, 5), world.context());
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit(), &before).await.unwrap();
    fs::remove_file(world.root("web-1").join("current")).unwrap();
    std::os::unix::fs::symlink(format!("releases/{}", hex("2")), world.root("web-1").join("current"))
        .unwrap();
    let error = step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await.unwrap_err();
    assert!(error.to_string().contains("somebody else changed the link"), "{error}");
    assert_eq!(current(&world, "web-1"), Some(format!("releases/{}", hex("2"))));
    assert_eq!(current(&world, "web-2"), Some(format!("releases/{}", hex("1"))), "the other host is undone");
}

#[tokio::test]
async fn a_release_to_go_back_to_that_is_gone_is_said_and_the_new_one_stays_in_force() {
    let world = placed(&["1", "2"], "1").await;
    let (step, cx) = (step(&world, 5), world.context());
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit(), &before).await.unwrap();
    fs::remove_dir_all(world.release("web-1", &hex("1"))).unwrap();
    let error = step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await.unwrap_err();
    assert!(error.to_string().contains("the release to go back to is gone"), "{error}");
    assert_eq!(current(&world, "web-1"), Some(format!("releases/{}", hex("2"))));
}
