use std::sync::Arc;
use std::time::Duration;

use flow_core::port::Command;
use flow_core::prelude::*;
use flow_core::steps::InstallDependencies;
use flow_testkit::{context, permit};

use crate::contract::{obeys, run};
use crate::world::World;

fn npm(world: &World) -> InstallDependencies {
    let install = Command::new("npm", ["ci"]).env("TOKEN", "s3cret").timeout(Duration::from_mins(5));
    InstallDependencies::new(Arc::new(world.clone()), install)
}

#[tokio::test]
async fn dependencies_are_installed_checked_and_removed_again() {
    let world = World::new();
    let step = Arc::new(
        npm(&world).checked_by(Command::new("npm", ["ls"])).undone_by(Command::new("clean", ["npm", "ci"])),
    );
    assert_eq!(step.reversibility(), Reversibility::Compensate { how: "`clean npm ci` is run".to_owned() });
    assert!(step.deadline() > Duration::from_mins(6), "both commands have their time");
    obeys(&world, &step, &context()).await;
    assert_eq!(world.state().installed, ["npm ci".to_owned()].into());
}

#[tokio::test]
async fn without_a_command_to_undo_it_the_plan_says_that_packages_stay() {
    let world = World::new();
    let step = npm(&world);
    assert!(matches!(step.reversibility(), Reversibility::Compensate { how } if how.contains("stays")));
    run(&step, &context()).await.unwrap();
    let changes = world.changes();
    step.roll_back(&context(), &permit(), &Captured::nothing(), &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(world.changes(), changes);
}

#[tokio::test]
async fn a_command_that_fails_is_in_doubt_and_shows_the_end_of_its_output() {
    for failing in ["npm ci", "npm ls"] {
        let world = World::new();
        world.state().exit_codes.insert(failing.to_owned(), 7);
        let step = npm(&world).checked_by(Command::new("npm", ["ls"]));
        let error = run(&step, &context()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown);
        let facts: Vec<_> = error.facts().collect();
        assert_eq!(facts, [("command", failing), ("end", "7"), ("stderr", "npm ERR! missing")]);
    }
}

#[tokio::test]
async fn secrets_of_the_command_are_shown_nowhere() {
    let step = npm(&World::new());
    let preview = step.preview(&context()).await.unwrap();
    for shown in [step.definition().to_string(), format!("{step:?}"), format!("{preview:?}")] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn every_problem_of_the_commands_is_refused_at_once() {
    let world = Arc::new(World::new());
    let step = InstallDependencies::new(world, Command::new("", ["ci"]))
        .checked_by(Command::new("npm", ["ls"]).timeout(Duration::ZERO));
    let error = step.preview(&context()).await.unwrap_err();
    let problems = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(problems, "`install.program`: must not be empty; `check.timeout`: must be above 0");
}
