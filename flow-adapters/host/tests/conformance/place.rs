//! Placing a release: whole or not at all, on every host, and taken back from wherever it broke.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::Command;
use flow_core::prelude::*;
use flow_core::stage::Services;
use flow_host::{Install, PlaceRelease, ReleaseConfig};
use flow_testkit::conformance::step::StepFixture;
use flow_testkit::{context, permit};

use crate::world::{HOSTS, World, at};

/// Installs what the lock file names, and says how often in a file beside the releases.
const INSTALL: &str =
    "mkdir node_modules && cp package-lock.json node_modules/.lock && echo installed >> ../../shared/log";

fn install() -> Install {
    let command = Command::new("sh", ["-c", INSTALL]).env("TOKEN", "s3cret");
    Install { command, reuse: None }
}

fn config(world: &World) -> ReleaseConfig {
    ReleaseConfig {
        shared: vec![at("uploads"), at("config/app.json")],
        install: Some(install()),
        check: Some(Command::new("test", ["-f", "node_modules/.lock"])),
        ..world.config()
    }
}

fn step(world: &World) -> PlaceRelease {
    PlaceRelease::new(world.hosts(), config(world))
}

async fn place(world: &World, step: &PlaceRelease) -> Result<Receipt<Services>, StepError> {
    let (cx, permit) = (world.context(), permit());
    let before = step.capture(&cx).await?;
    step.run(&cx, &permit, &before).await
}

fn installs(world: &World, host: &str) -> usize {
    fs::read_to_string(world.root(host).join("shared/log")).map_or(0, |log| log.lines().count())
}

mod conformance {
    use super::*;

    #[async_trait]
    impl StepFixture for World {
        type Stage = Services;

        fn step(&self) -> Arc<dyn Step<Services>> {
            Arc::new(step(self))
        }
        fn context(&self) -> StepContext<Services> {
            World::context(self)
        }
        async fn seen(&self) -> String {
            let mut seen = World::seen(self);
            seen.retain(|path, _| !path.ends_with("shared/log"));
            format!("{seen:?}")
        }
        async fn changes(&self) -> Option<usize> {
            Some(self.breaks.made())
        }
        async fn break_at(&self, nth: usize) -> Option<()> {
            self.breaks.at(nth);
            Some(())
        }
        async fn mend(&self) -> bool {
            self.breaks.mend()
        }
        async fn forbid(&self) -> Option<&'static str> {
            fs::remove_dir(self.root("web-2").join("shared/uploads")).ok()?;
            Some("a shared directory is missing on one of the hosts")
        }
        fn secrets(&self) -> Vec<String> {
            vec!["s3cret".to_owned()]
        }
        fn takes(&self) -> Duration {
            // Real commands, on a machine that may be busy.
            Duration::from_secs(120)
        }
    }

    async fn fresh() -> World {
        World::new()
    }

    flow_testkit::step_conformance!(fresh);
}

#[tokio::test]
async fn a_release_stands_on_every_host_with_what_is_shared_linked_and_what_it_needs_installed() {
    let world = World::new();
    let hex = world.artifact.digest.hex();
    let receipt = place(&world, &step(&world)).await.unwrap();
    for host in HOSTS {
        let release = world.release(host, &hex);
        assert_eq!(fs::read_to_string(release.join("server.js")).unwrap(), "// 1.0.0");
        assert_eq!(fs::metadata(release.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(release.join("server.js")).unwrap().mode() & 0o111, 0);
        assert!(release.join("empty").is_dir());
        assert!(release.join(format!("{}.js", "long".repeat(40))).is_file());
        assert_eq!(fs::read_to_string(release.join("config/app.json")).unwrap(), "{}");
        assert_eq!(
            fs::canonicalize(release.join("uploads")).unwrap(),
            world.root(host).join("shared/uploads")
        );
        assert!(release.join("node_modules/.lock").is_file());
        let names: Vec<_> = fs::read_dir(world.root(host).join("releases")).unwrap().collect();
        assert_eq!(names.len(), 1, "something is left beside the release");
    }
    assert!(fs::read_dir(world.directory.path().join("archives")).unwrap().next().is_none());
    let evidence = &receipt.evidence[0];
    assert_eq!(evidence.observed["hosts"]["web-2"], "installed");
}

#[tokio::test]
async fn the_same_artefact_makes_the_same_archive_wherever_and_whenever_it_was_built() {
    let worlds = [World::new(), World::new()];
    fs::File::open(worlds[1].artifact.path.join("server.js"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890))
        .unwrap();
    let mut archives = Vec::new();
    for world in &worlds {
        // A run that broke leaves the archive.
        world.breaks.at(2);
        place(world, &PlaceRelease::new(world.hosts(), world.config())).await.unwrap_err();
        let hex = world.artifact.digest.hex();
        archives.push(fs::read(world.directory.path().join(format!("archives/{hex}.tar"))).unwrap());
    }
    assert!(archives[0] == archives[1] && archives[0].len() > 1000);
}

#[tokio::test]
async fn a_single_file_is_placed_under_its_name_and_may_be_executed() {
    let mut world = World::new();
    world.artifact.path = world.artifact.path.join("bin/run");
    let hex = world.artifact.digest.hex();
    place(&world, &PlaceRelease::new(world.hosts(), world.config())).await.unwrap();
    let placed = fs::metadata(world.release("web-1", &hex).join("run")).unwrap();
    assert_eq!(placed.permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn dependencies_are_taken_over_where_the_lock_file_and_the_command_are_the_same() {
    let mut world = World::new();
    let reusing = |world: &World, command: Install| ReleaseConfig {
        install: Some(command.reusing(at("package-lock.json"), at("node_modules"))),
        ..config(world)
    };
    for (version, lock, installs_by_now) in [("1", "a", 1), ("2", "a", 1), ("3", "b", 2), ("4", "a", 2)] {
        let hex = world.build(version);
        fs::write(world.artifact.path.join("package-lock.json"), lock).unwrap();
        place(&world, &PlaceRelease::new(world.hosts(), reusing(&world, install()))).await.unwrap();
        for host in HOSTS {
            let installed = world.release(host, &hex).join("node_modules/.lock");
            assert_eq!(fs::read_to_string(installed).unwrap(), lock, "release {version} on {host}");
            assert_eq!(installs(&world, host), installs_by_now, "release {version} on {host}");
        }
    }
    world.build("5");
    let other = Install { command: install().command.env("NODE_VERSION", "24"), ..install() };
    place(&world, &PlaceRelease::new(world.hosts(), reusing(&world, other))).await.unwrap();
    assert_eq!(installs(&world, "web-1"), 3, "another command installs otherwise");
}

#[tokio::test]
async fn what_fails_on_one_host_leaves_no_release_there_and_undo_removes_the_others() {
    const ONLY_ON_THE_FIRST: &str = "case $(pwd -P) in */web-2/*) exit 1;; esac";
    type Breaking = fn(&World) -> ReleaseConfig;
    let cases: [(&str, Breaking); 2] = [
        ("the installation", |world| {
            let command = Command::new("sh", ["-c", ONLY_ON_THE_FIRST]);
            ReleaseConfig { install: Some(Install { command, reuse: None }), check: None, ..config(world) }
        }),
        ("the check", |world| {
            let check = Some(Command::new("sh", ["-c", ONLY_ON_THE_FIRST]));
            ReleaseConfig { check, ..config(world) }
        }),
    ];
    for (breaks, config) in cases {
        let world = World::new();
        let (untouched, hex) = (world.seen(), world.artifact.digest.hex());
        let step = PlaceRelease::new(world.hosts(), config(&world));
        let cx = world.context();
        let before = step.capture(&cx).await.unwrap();
        let error = step.run(&cx, &permit(), &before).await.unwrap_err();
        assert!(!error.kind().is_rejection(), "{breaks}: {error}");
        assert!(error.to_string().contains("web-2: ") && !error.to_string().contains("web-1: "), "{error}");
        assert!(world.release("web-1", &hex).is_dir() && !world.release("web-2", &hex).exists());
        step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
        let mut seen = world.seen();
        seen.retain(|path, _| !path.ends_with("shared/log"));
        assert_eq!(seen, untouched, "{breaks}");
    }
}

#[tokio::test]
async fn a_release_that_stood_there_before_is_checked_and_never_taken_back() {
    let world = World::new();
    let hex = world.artifact.digest.hex();
    place(&world, &step(&world)).await.unwrap();
    let (step, cx) = (step(&world), world.context());
    let before = step.capture(&cx).await.unwrap();
    let receipt = step.run(&cx, &permit(), &before).await.unwrap();
    assert_eq!(receipt.evidence[0].observed["hosts"]["web-1"], "stood there already");
    assert_eq!(installs(&world, "web-1"), 1);
    step.roll_back(&cx, &permit(), &before, &Outcome::Finished(receipt)).await.unwrap();
    assert!(world.release("web-1", &hex).is_dir());

    fs::remove_file(world.release("web-1", &hex).join("node_modules/.lock")).unwrap();
    let error = step.run(&cx, &permit(), &before).await.unwrap_err();
    assert!(error.to_string().contains("web-1"), "a damaged release is not found out: {error}");
}

#[tokio::test]
async fn a_directory_of_the_releases_name_that_nobody_placed_is_a_conflict_and_stands() {
    let world = World::new();
    let hex = world.artifact.digest.hex();
    fs::create_dir_all(world.release("web-2", &hex)).unwrap();
    let seen = world.seen();
    let error = place(&world, &step(&world)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(world.seen(), seen);
}

/// A process that runs until it is dropped.
struct Running(Child);

impl Running {
    fn in_directory(directory: &std::path::Path) -> Self {
        let mut sleep = std::process::Command::new("sleep");
        Self(sleep.arg("600").current_dir(directory).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_release_in_use_is_not_taken_back() {
    let world = World::new();
    let hex = world.artifact.digest.hex();
    let (step, cx) = (step(&world), world.context());
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit(), &before).await.unwrap();
    let undo = async || step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await;

    let runs = Running::in_directory(&world.release("web-1", &hex).join("bin"));
    std::os::unix::fs::symlink(format!("releases/{hex}"), world.root("web-2").join("current")).unwrap();
    let error = undo().await.unwrap_err();
    assert!(error.to_string().contains("a process runs from the release"), "{error}");
    assert!(error.to_string().contains("the release is in force"), "{error}");
    assert!(HOSTS.iter().all(|host| world.release(host, &hex).join("server.js").is_file()));

    drop(runs);
    fs::remove_file(world.root("web-2").join("current")).unwrap();
    undo().await.unwrap();
    assert!(HOSTS.iter().all(|host| !world.release(host, &hex).exists()));
}

#[tokio::test]
async fn a_preview_names_every_problem_of_the_configuration_and_of_the_hosts() {
    let world = World::new();
    let mut config = config(&world);
    config.keep = 0;
    config.at_once = 0;
    config.check = Some(Command::new("", [""; 0]).directory(at("elsewhere")).timeout(Duration::ZERO));
    let bad =
        PlaceRelease::new(flow_host::Hosts::new(), ReleaseConfig { archives: "relative".into(), ..config });
    let error = bad.preview(&context()).await.unwrap_err();
    let problems = std::error::Error::source(&error).unwrap().to_string();
    for field in ["archives", "keep", "at_once", "check.program", "check.timeout", "check.directory", "hosts"]
    {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }

    fs::remove_dir(world.root("web-1").join("shared/uploads")).unwrap();
    fs::remove_file(world.root("web-2").join("shared/config/app.json")).unwrap();
    let error = step(&world).preview(&context()).await.unwrap_err();
    let problems = std::error::Error::source(&error).unwrap().to_string();
    for missing in ["web-1:shared/uploads", "web-2:shared/config/app.json"] {
        assert!(problems.contains(missing), "{missing} in {problems}");
    }
}

#[tokio::test]
async fn links_in_an_artefact_are_all_refused_at_once_with_nothing_changed() {
    let world = World::new();
    std::os::unix::fs::symlink("/etc/passwd", world.artifact.path.join("bin/out")).unwrap();
    std::os::unix::fs::symlink("run", world.artifact.path.join("bin/in")).unwrap();
    let seen = world.seen();
    let error = place(&world, &step(&world)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let problems = std::error::Error::source(&error).unwrap().to_string();
    assert!(problems.contains("`bin/out`") && problems.contains("`bin/in`"), "{problems}");
    assert_eq!(world.seen(), seen);
}

#[tokio::test]
async fn what_is_shared_is_never_written_over_by_an_artefact_that_has_it() {
    let world = World::new();
    fs::write(world.artifact.path.join("config/app.json"), "the artefact's own").unwrap();
    let error = place(&world, &step(&world)).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!(fs::read_to_string(world.root("web-1").join("shared/config/app.json")).unwrap(), "{}");
    assert!(!world.release("web-1", &world.artifact.digest.hex()).exists());
}

#[tokio::test]
async fn what_something_that_was_given_up_still_writes_into_is_removed_all_the_same_and_not_for_ever() {
    let world = World::new();
    let untouched = world.seen();
    let step = PlaceRelease::new(world.hosts(), world.config());
    let cx = world.context();
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit(), &before).await.unwrap();
    let undo = async || step.roll_back(&cx, &permit(), &before, &Outcome::InDoubt(None)).await;
    world.breaks.written_into.store(usize::MAX, Ordering::SeqCst);
    let error = undo().await.unwrap_err();
    assert!(!error.kind().is_rejection() && error.to_string().contains("Directory not empty"), "{error}");
    world.breaks.written_into.store(4, Ordering::SeqCst);
    undo().await.unwrap();
    assert_eq!(world.seen(), untouched);
}
