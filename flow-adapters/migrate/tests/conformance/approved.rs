//! Production runs the scripts that have run below it, and those of the approved plan, and no others.

use std::sync::Arc;
use std::time::Duration;

use flow_core::plan::PlanProblem;
use flow_core::policy::{Proof, Violation};
use flow_core::port::{Migrator as _, RunEvidence};
use flow_core::steps::migrations;
use flow_core::strategy::BlueGreen;
use flow_core::{Digest, Environment, RunId, Setting, Workflow, name};
use flow_testkit::{World as Testkit, permit};

use crate::world::World;

/// The scripts for which production refuses the plan, because they never ran below it.
async fn refused(workflow: &Workflow, setting: &Setting) -> Vec<Digest> {
    let Err(error) = workflow.plan(setting).await else { return Vec::new() };
    let script = |problem| match problem {
        PlanProblem::Violation(Violation::ScriptNotRun { digest, environment: Environment::Production }) => {
            Some(digest)
        }
        _ => None,
    };
    error.problems.into_iter().filter_map(script).collect()
}

#[tokio::test]
async fn production_refuses_a_script_that_did_not_run_below_it_with_the_same_digest() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE a (x)", Some("DROP TABLE a"));
    let testkit =
        Testkit::new().with_service("web", 1).in_environment(Environment::Production).proved("1.0.0");
    let setting = testkit.setting("1.0.0").unwrap();
    let migrate = migrations(Arc::new(world.migrations()));
    let workflow = Workflow { migrate, ..testkit.workflow("1.0.0", BlueGreen::default()).unwrap() };

    let pending = world.migrations().state().await.unwrap().pending;
    let digests: Vec<_> = pending.iter().flat_map(|script| [script.up, script.down.unwrap()]).collect();
    let mut found = refused(&workflow, &setting).await;
    found.sort();
    let mut expected = digests.clone();
    expected.sort();
    assert_eq!(found, expected);

    let recorded = setting.clock.now();
    let evidence = RunEvidence {
        application: setting.application.clone(),
        environment: Environment::Staging,
        release: name!("1.0.0"),
        digests,
        proved: Proof::ALL.to_vec(),
        run: RunId::new("staging").unwrap(),
        head: Digest::of(b"head"),
        recorded,
        expires: recorded + Duration::from_hours(24),
    };
    setting.evidence.as_ref().unwrap().record(&permit(), &evidence).await.unwrap();
    assert_eq!(refused(&workflow, &setting).await, []);

    // Another way back is another script.
    world.script("1_a", "CREATE TABLE a (x)", Some("DROP TABLE IF EXISTS a"));
    let down = world.migrations().state().await.unwrap().pending[0].down.unwrap();
    assert_eq!(refused(&workflow, &setting).await, [down]);
}

#[tokio::test]
async fn a_plans_hash_changes_with_its_scripts_and_their_impact_and_with_nothing_else() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE a (x)", Some("DROP TABLE a"));
    let hash = async || {
        let migrations = world.migrations();
        migrations.plan_hash(&migrations.lint().await.unwrap()).await.unwrap()
    };
    let first = hash().await;
    world.run("CREATE TABLE b (y)").await;
    assert_eq!(hash().await, first, "another table is no part of it");
    world.script("1_a", "CREATE TABLE a (x)", Some("DROP TABLE IF EXISTS a"));
    let second = hash().await;
    world.script("2_b", "CREATE INDEX i ON b (y)", None);
    let third = hash().await;
    // The same scripts now say less: the table that they index is not there.
    world.run("DROP TABLE b").await;
    assert_ne!(first, second);
    assert_ne!(second, third);
}
