use flow_core::ErrorKind;
use flow_core::port::Migrator as _;
use flow_testkit::permit;

use crate::world::{World, fact};

fn three() -> World {
    let world = World::new();
    world
        .script("1_a", "CREATE TABLE log(v)", Some("DROP TABLE log"))
        .script("2_b", "CREATE TABLE b(x)", Some("DROP TABLE b; INSERT INTO log VALUES('down 2')"))
        .script("10_c", "CREATE TABLE c(x)", Some("DROP TABLE c; INSERT INTO log VALUES('down 10')"));
    world
}

fn keep(versions: &[&str]) -> Vec<String> {
    versions.iter().map(|version| (*version).to_owned()).collect()
}

#[tokio::test]
async fn the_way_back_needs_no_file_and_goes_newest_first_and_twice_is_once() {
    let world = three();
    let migrations = world.migrations();
    migrations.apply(&permit()).await.unwrap();
    std::fs::remove_dir_all(world.scripts()).unwrap();
    for _ in 0..2 {
        migrations.revert_to(&permit(), &keep(&["1"])).await.unwrap();
        assert_eq!(world.ask("SELECT v FROM log").await, ["down 10", "down 2"]);
        assert_eq!(world.applied().await, ["1"]);
    }
    migrations.revert_to(&permit(), &[]).await.unwrap();
    assert_eq!(world.schema().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_without_a_way_back_is_named_and_nothing_is_touched() {
    let world = three();
    std::fs::remove_file(world.scripts().join("2_b.down.sql")).unwrap();
    world.migrations().apply(&permit()).await.unwrap();
    let before = world.bytes();
    let error = world.migrations().revert_to(&permit(), &keep(&["1"])).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "irreversible")), (ErrorKind::Conflict, "2"));
    assert_eq!(world.bytes(), before);
    world.migrations().revert_to(&permit(), &keep(&["1", "2"])).await.unwrap();
}

#[tokio::test]
async fn a_down_script_that_fails_names_its_statement_and_what_is_already_back() {
    let world = three();
    world.script("2_b", "CREATE TABLE b(x)", Some("DROP TABLE b;\nDROP TABLE nowhere"));
    world.migrations().apply(&permit()).await.unwrap();
    let error = world.migrations().revert_to(&permit(), &[]).await.unwrap_err();
    assert!(!error.kind().is_rejection());
    let named = ["version", "direction", "statement", "line", "reverted"].map(|name| fact(&error, name));
    assert_eq!(named, ["2", "down", "2", "2", "10"]);
    assert_eq!(world.applied().await, ["1", "2"]);
    assert_eq!(world.ask("SELECT name FROM sqlite_master WHERE name = 'b'").await, ["b"]);
}

#[tokio::test]
async fn a_kept_down_script_that_was_changed_is_not_run() {
    let world = three();
    world.migrations().apply(&permit()).await.unwrap();
    world.run("UPDATE _flow_migrations SET down_script = 'DROP TABLE log' WHERE version = '10'").await;
    let error = world.migrations().revert_to(&permit(), &[]).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "version")), (ErrorKind::Conflict, "10"));
    assert_eq!(world.applied().await, ["1", "2", "10"]);
}

#[tokio::test]
async fn a_goal_that_the_database_never_reached_is_refused() {
    let world = three();
    world.migrations().apply(&permit()).await.unwrap();
    let error = world.migrations().revert_to(&permit(), &keep(&["1", "7"])).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "versions")), (ErrorKind::Conflict, "7"));
    let error = world.migrations().revert_to(&permit(), &keep(&["x"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(world.applied().await, ["1", "2", "10"]);
}
