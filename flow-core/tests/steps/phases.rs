//! Migrations that expand before the services are replaced, and contract behind.

use std::sync::Arc;

use flow_core::port::Weights;
use flow_core::prelude::*;
use flow_core::steps::{ContractMigrations, migrations};
use flow_core::{Stopped, Workflow};
use flow_testkit::context;
use flow_testkit::fake::{FakeMigrator, Migration, Statement};
use serde_json::json;

use crate::contract::obeys;
use crate::whole::{APP, Shop};
use crate::world::{World, migration};

/// Release 1.0.0 serves with migration 1; 1.1.0 brings 2, which contracts, and 3, which expands.
async fn shop() -> Shop {
    let shop = Shop::new();
    shop.deploy(name!("1.0.0")).await.unwrap();
    shop.release("1.1.0", 3);
    shop
}

fn contract(database: &FakeMigrator) -> ContractMigrations {
    ContractMigrations::new(Arc::new(database.only(["2"])))
}

fn workflow(shop: &Shop) -> Workflow {
    let database = &shop.world.database;
    let plain = shop.workflow(&name!("1.1.0"));
    Workflow {
        migrate: migrations(Arc::new(database.only(["1", "3"]))),
        services: plain.services.then(contract(database)),
        ..plain
    }
}

/// What `shop`'s world was made to do since `since` changes, of these.
fn changes(shop: &Shop, since: usize, of: &[&str]) -> Vec<String> {
    let changes = shop.world.ledger.changes().split_off(since);
    changes.into_iter().filter(|change| of.iter().any(|call| change.starts_with(call))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_contracts_is_applied_behind_the_rollouts_and_backed_up_before() {
    let shop = shop().await;
    let since = shop.world.ledger.changes().len();
    shop.deploy_by(workflow(&shop), name!("1.1.0")).await.unwrap();
    assert_eq!(shop.world.database.applied(), ["1", "3", "2"]);
    let expected = ["back_up", "apply", "back_up", "apply"].map(|call| format!("migrator.{call} database"));
    assert_eq!(changes(&shop, since, &["migrator."]), expected);
    assert_eq!(shop.world.ledger.refusals(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_fails_never_reaches_what_contracts() {
    let shop = shop().await;
    let since = shop.world.ledger.changes().len();
    shop.fleet.sicken(&name!("1.1.0"));
    let stopped = shop.deploy_by(workflow(&shop), name!("1.1.0")).await.unwrap_err();
    assert!(matches!(stopped, Stopped::RolledBack { .. }), "{stopped:?}");
    let expected = ["back_up", "apply", "revert_to"].map(|call| format!("migrator.{call} database"));
    assert_eq!(changes(&shop, since, &["migrator."]), expected);
    assert_eq!(shop.world.database.applied(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_behind_it_takes_it_back_before_the_services_and_what_expanded_after_them() {
    let shop = shop().await;
    let (before, since) = (shop.world.seen(), shop.world.ledger.changes().len());
    // Well while stage 1 looks at the old version, and broken once the new one serves.
    shop.world.pages(APP, [(200, "welcome", 5), (200, "welcome", 5), (200, "welcome", 5), (500, "", 5)]);
    let stopped = shop.deploy_by(workflow(&shop), name!("1.1.0")).await.unwrap_err();
    assert!(matches!(stopped, Stopped::RolledBack { .. }), "{stopped:?}");
    let undone = changes(&shop, since, &["migrator.revert_to", "assets.restore"]);
    assert_eq!(undone, ["migrator.revert_to database", "assets.restore site", "migrator.revert_to database"]);
    assert_eq!(shop.world.seen(), before);
    assert_eq!(shop.weights().await, Weights::all_to(name!("1.0.0")));
}

/// Version 3 is applied, and 2 waits to contract.
fn expanded() -> World {
    let world = World::new();
    for version in ["2", "3"] {
        world.database.write(migration(version));
    }
    world.database.only(["3"]).applied_earlier("3");
    world
}

#[tokio::test]
async fn the_step_keeps_what_every_step_promises_and_names_its_scripts() {
    let world = expanded();
    let step = Arc::new(contract(&world.database));
    let two = migration("2").script();
    let preview = step.preview(&context()).await.unwrap();
    assert_eq!(preview.scripts, [two.up, two.down.unwrap()]);
    let receipt = obeys(&world, &step, &context()).await;
    let observed = &receipt.evidence[0].observed;
    assert_eq!(observed["applied"], json!(["2"]));
    assert!(observed["backup"]["digest"].is_string());
}

#[tokio::test]
async fn without_a_way_back_it_is_refused_unless_that_is_declared() {
    let world = expanded();
    world.database.write(Migration::new("2", [Statement::create("t2")]));
    let error = contract(&world.database).preview(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let declared = contract(&world.database).irreversible("the old columns are gone");
    declared.preview(&context()).await.unwrap();
    let irreversible = Reversibility::Irreversible { reason: "the old columns are gone".to_owned() };
    assert_eq!(declared.reversibility(), irreversible);
}
