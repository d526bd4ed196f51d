use std::sync::Arc;

use flow_core::port::Migrator;
use flow_core::prelude::*;
use flow_core::receipt::MigrateFacts;
use flow_core::stage::Migrate;
use flow_core::steps::{ApplyMigrations, AssessImpact, BackUp, CheckScripts};
use flow_core::{Artifact, Digest, Outcome, StepContext};
use flow_testkit::{context, permit};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::whole::Shop;
use crate::world::{World, script};

/// Version 1 is applied, 2 and 3 are pending.
fn database() -> World {
    let world = World::new();
    world.state().scripts = vec![script("1"), script("2"), script("3")];
    world.state().applied = vec![script("1")];
    world
}

fn port(world: &World) -> Arc<World> {
    Arc::new(world.clone())
}

fn versions(world: &World) -> Vec<String> {
    world.state().applied.iter().map(|script| script.version.clone()).collect()
}

#[tokio::test]
async fn pending_scripts_are_what_the_plan_runs_up_and_down() {
    let world = database();
    let step = CheckScripts::new(port(&world));
    let preview = step.preview(&context()).await.unwrap();
    let (two, three) = (script("2"), script("3"));
    assert_eq!(preview.scripts, [two.up, two.down.unwrap(), three.up, three.down.unwrap()]);
    assert_eq!(preview.stable["applied"], json!(["1"]));
    assert_eq!(preview.stable["pending"], json!(["2", "3"]));
    let receipt = obeys(&world, &step, &context()).await;
    assert_eq!(receipt.evidence[0].observed["scripts"], json!(["1", "2", "3"]));
}

#[tokio::test]
async fn the_impact_is_assessed_before_anything_is_applied() {
    let world = database();
    let receipt = obeys(&world, &AssessImpact::new(port(&world)), &context()).await;
    assert_eq!(receipt.evidence[0].observed["statements"][1]["version"], json!("3"));
    assert!(receipt.evidence[0].summary.contains("6 ms"));
}

#[tokio::test]
async fn a_backup_stays_whatever_becomes_of_the_run() {
    let world = database();
    let receipt = obeys(&world, &BackUp::new(port(&world)), &context()).await;
    assert!(receipt.facts.backup.is_some());
    assert_eq!(world.state().backups.len(), 1, "under one key there is one backup");
}

#[tokio::test]
async fn migrations_are_applied_and_taken_back() {
    let world = database();
    let receipt = obeys(&world, &ApplyMigrations::new(port(&world)), &context()).await;
    assert_eq!(receipt.facts.applied, ["2", "3"]);
    assert_eq!(receipt.facts.schema, Some(Migrator::state(&world).await.unwrap().schema));
    assert_eq!(versions(&world), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_repeated_attempt_names_all_that_the_run_applied() {
    let world = database();
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    world.break_after(1);
    step.run(&context(), &permit(), &before).await.unwrap_err();
    assert_eq!(versions(&world), ["1", "2"]);
    let receipt = step.run(&context(), &permit(), &before).await.unwrap();
    assert_eq!(receipt.facts.applied, ["2", "3"]);
}

#[tokio::test]
async fn inconsistent_data_after_the_migration_is_in_doubt_and_undone() {
    let world = database();
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    world.state().inconsistent = true;
    let error = step.run(&context(), &permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "the migration stands, so it is no rejection");
    assert_eq!(error.facts().collect::<Vec<_>>(), [("orphans", "3")]);
    step.roll_back(&context(), &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(versions(&world), ["1"]);
}

#[tokio::test]
async fn an_undo_that_does_not_give_the_old_schema_back_says_so() {
    let world = database();
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    let receipt = step.run(&context(), &permit(), &before).await.unwrap();
    world.state().leaves = true;
    let error =
        step.roll_back(&context(), &permit(), &before, &Outcome::Finished(receipt)).await.unwrap_err();
    assert_eq!(error.message(), "the schema is not the one of before");
}

#[tokio::test]
async fn a_script_without_a_way_back_needs_a_declaration() {
    let world = database();
    world.state().scripts[2].down = None;
    let error = ApplyMigrations::new(port(&world)).preview(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        run(&ApplyMigrations::new(port(&world)), &context()).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert!(world.changes().is_empty());

    let declared = ApplyMigrations::new(port(&world)).irreversible("drops a table");
    assert_eq!(declared.reversibility(), Reversibility::Irreversible { reason: "drops a table".to_owned() });
    declared.preview(&context()).await.unwrap();
    run(&declared, &context()).await.unwrap();
    assert_eq!(versions(&world), ["1", "2", "3"]);
}

/// A context in a run whose plan promises a backup, and the shop with one pending script that it is the plan of.
async fn planned() -> (Shop, StepContext<Migrate>) {
    let shop = Shop::new();
    let plan = shop.plan().await;
    (shop, context().planned(plan))
}

#[tokio::test]
async fn no_migration_begins_before_the_backup_that_the_plan_promises() {
    let (shop, cx) = planned().await;
    let step = ApplyMigrations::new(port(&shop.world));
    let error = run(&step, &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(shop.world.changes().is_empty());

    let backup = Some(Artifact { digest: Digest::of(b"backup"), path: "/backups/1".into() });
    let receipt = Receipt::new().facts(MigrateFacts { backup, ..MigrateFacts::default() });
    run(&step, &cx.following(name!("back-up"), &receipt).unwrap()).await.unwrap();
    assert_eq!(versions(&shop.world), ["1"]);
}

#[tokio::test]
async fn a_script_that_the_plan_did_not_name_is_refused_before_anything_changes() {
    let (shop, cx) = planned().await;
    shop.world.state().scripts[0].up = Digest::of(b"edited after the approval");
    for error in [
        run(&CheckScripts::new(port(&shop.world)), &cx).await.unwrap_err(),
        run(&ApplyMigrations::new(port(&shop.world)), &cx).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.facts().collect::<Vec<_>>(), [("versions", "1")]);
    }
    assert!(shop.world.changes().is_empty());
}
