use std::sync::Arc;

use flow_core::port::Migrator;
use flow_core::prelude::*;
use flow_core::receipt::MigrateFacts;
use flow_core::stage::Migrate;
use flow_core::steps::{ApplyMigrations, AssessImpact, BackUp, CheckScripts};
use flow_core::{Artifact, Digest, Fence, Outcome, StepContext};
use flow_testkit::fake::{FakeMigrator, Migration, Statement};
use flow_testkit::fault::{At, Fault};
use flow_testkit::{context, permit_under};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::whole::Shop;
use crate::world::{World, migration};

/// Version 1 is applied, 2 and 3 are pending.
fn database() -> World {
    let world = World::new();
    for version in ["1", "2", "3"] {
        world.database.write(migration(version));
    }
    world.database.applied_earlier("1");
    world
}

/// The same, backed up by this run.
async fn backed_up() -> World {
    let world = database();
    back_up(&world).await;
    world
}

async fn back_up(world: &World) {
    world.database.back_up(&permit_under("test/back-up", Fence(1), 1)).await.unwrap();
}

fn forward() -> Permit {
    permit_under("test/do", Fence(1), 1)
}

fn port(world: &World) -> Arc<FakeMigrator> {
    Arc::new(world.database.clone())
}

fn versions(world: &World) -> Vec<String> {
    world.database.applied()
}

#[tokio::test]
async fn pending_scripts_are_what_the_plan_runs_up_and_down() {
    let world = database();
    let step = Arc::new(CheckScripts::new(port(&world)));
    let preview = step.preview(&context()).await.unwrap();
    let (two, three) = (migration("2").script(), migration("3").script());
    assert_eq!(preview.scripts, [two.up, two.down.unwrap(), three.up, three.down.unwrap()]);
    assert_eq!(preview.stable["applied"], json!(["1"]));
    assert_eq!(preview.stable["pending"], json!(["2", "3"]));
    let receipt = obeys(&world, &step, &context()).await;
    assert_eq!(receipt.evidence[0].observed["scripts"], json!(["1", "2", "3"]));
}

#[tokio::test]
async fn the_impact_is_assessed_before_anything_is_applied() {
    let world = database();
    let receipt = obeys(&world, &Arc::new(AssessImpact::new(port(&world))), &context()).await;
    assert_eq!(receipt.evidence[0].observed["statements"][1]["version"], json!("3"));
    assert!(receipt.evidence[0].summary.contains("6 ms"));
}

#[tokio::test]
async fn a_backup_stays_whatever_becomes_of_the_run() {
    let world = database();
    let receipt = obeys(&world, &Arc::new(BackUp::new(port(&world))), &context()).await;
    assert!(receipt.facts.backup.is_some());
    assert_eq!(world.database.backups().len(), 1, "under one key there is one backup");
}

#[tokio::test]
async fn migrations_are_applied_and_taken_back() {
    let world = backed_up().await;
    let receipt = obeys(&world, &Arc::new(ApplyMigrations::new(port(&world))), &context()).await;
    assert_eq!(receipt.facts.applied, ["2", "3"]);
    assert_eq!(receipt.facts.schema, Some(world.database.state().await.unwrap().schema));
    assert_eq!(versions(&world), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_repeated_attempt_names_all_that_the_run_applied() {
    let world = backed_up().await;
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    world.ledger.faults().inject(At::call("migrator.apply"), Fault::HalfDone);
    step.run(&context(), &forward(), &before).await.unwrap_err();
    assert_eq!(versions(&world), ["1", "2"]);
    let receipt = step.run(&context(), &forward(), &before).await.unwrap();
    assert_eq!(receipt.facts.applied, ["2", "3"]);
}

#[tokio::test]
async fn inconsistent_data_after_the_migration_is_in_doubt_and_undone() {
    let world = database();
    world.database.declare_check(name!("orphans"), "t1", "orphan");
    for id in 1..=3 {
        world.database.execute(Statement::add("t1", id, "orphan")).unwrap();
    }
    back_up(&world).await;
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    let error = step.run(&context(), &forward(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "the migration stands, so it is no rejection");
    assert_eq!(error.facts().collect::<Vec<_>>(), [("orphans", "3")]);
    step.roll_back(&context(), &forward(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(versions(&world), ["1"]);
}

#[tokio::test]
async fn an_undo_that_does_not_give_the_old_schema_back_says_so() {
    let world = backed_up().await;
    let leaves = Migration::new("3", [Statement::create("t3")]).undone_by([Statement::remove("t3", 1)]);
    world.database.write(leaves);
    let step = ApplyMigrations::new(port(&world));
    let before = step.capture(&context()).await.unwrap();
    let receipt = step.run(&context(), &forward(), &before).await.unwrap();
    let error =
        step.roll_back(&context(), &forward(), &before, &Outcome::Finished(receipt)).await.unwrap_err();
    assert_eq!(error.message(), "the schema is not the one of before");
}

#[tokio::test]
async fn a_script_without_a_way_back_needs_a_declaration() {
    let world = backed_up().await;
    world.database.write(Migration::new("3", [Statement::create("t3")]));
    let changes = world.changes();
    let error = ApplyMigrations::new(port(&world)).preview(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        run(&ApplyMigrations::new(port(&world)), &context()).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(world.changes(), changes);

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

    back_up(&shop.world).await;
    let backup = Some(Artifact { digest: Digest::of(b"backup"), path: "/backups/1".into() });
    let receipt = Receipt::new().facts(MigrateFacts { backup, ..MigrateFacts::default() });
    run(&step, &cx.following(name!("back-up"), &receipt).unwrap()).await.unwrap();
    assert_eq!(versions(&shop.world), ["1"]);
}

#[tokio::test]
async fn a_script_that_the_plan_did_not_name_is_refused_before_anything_changes() {
    let (shop, cx) = planned().await;
    shop.world.database.write(Migration::table("1", "edited_after_the_approval"));
    for error in [
        run(&CheckScripts::new(port(&shop.world)), &cx).await.unwrap_err(),
        run(&ApplyMigrations::new(port(&shop.world)), &cx).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.facts().collect::<Vec<_>>(), [("versions", "1")]);
    }
    assert!(shop.world.changes().is_empty());
}
