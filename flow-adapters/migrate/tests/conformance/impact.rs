use flow_core::ErrorKind;
use flow_core::port::Migrator as _;
use flow_testkit::permit;

use crate::world::{World, fact};

#[tokio::test]
async fn each_statement_is_measured_on_a_copy_and_the_database_stays_as_it_is() {
    let world = World::new();
    world.run("CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2), (3, 4), (5, 6)").await;
    world.script(
        "1_a",
        "CREATE TABLE new(x); CREATE INDEX i ON t(a); ALTER TABLE t DROP COLUMN b;
         INSERT INTO new SELECT a FROM t; DROP TABLE t; SELECT 1",
        None,
    );
    world.script("2_b", "DELETE FROM new WHERE x > 1", Some("INSERT INTO new VALUES(3)"));
    let before = world.bytes();
    let impacts = world.migrations().impact().await.unwrap();
    let found: Vec<_> = impacts
        .iter()
        .map(|impact| (impact.version.as_str(), impact.statement, impact.effect.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("1", 1, "write lock; changes the catalogue alone"),
            ("1", 2, "write lock; scans `t` (3 rows) and writes an index"),
            ("1", 3, "write lock; rewrites `t` (3 rows)"),
            ("1", 4, "write lock; writes 3 rows"),
            ("1", 5, "write lock; drops `t` (3 rows)"),
            ("1", 6, "write lock; reads"),
            (
                "2",
                1,
                "write lock; writes 2 rows; `new` goes from 3 to 1 rows; the way back leaves 2 of 3 rows in `new`"
            ),
        ]
    );
    assert!(impacts.iter().all(|impact| impact.ms.is_some()));
    assert_eq!(world.bytes(), before);
    assert_eq!(world.backup_files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_that_only_fails_on_real_rows_fails_in_the_rehearsal() {
    let world = World::new();
    world.run("CREATE TABLE t(a)").await;
    world.script("1_a", "CREATE TABLE u(a)", Some("DROP TABLE u"));
    world.script("2_b", "SELECT 1;\nCREATE UNIQUE INDEX i ON t(a)", Some("DROP INDEX i"));
    world.migrations().impact().await.unwrap();
    world.run("INSERT INTO t VALUES(1), (1)").await;
    let error = world.migrations().impact().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(["version", "statement", "line"].map(|name| fact(&error, name)), ["2", "2", "2"]);
    assert_eq!(world.schema().await, ["table t CREATE TABLE t(a)"]);
    assert_eq!(world.backup_files(), Vec::<String>::new());
}

#[tokio::test]
async fn down_scripts_that_fail_or_restore_another_schema_are_named_all_at_once() {
    let world = World::new();
    world.run("CREATE TABLE t(a, b)").await;
    world
        .script("1_fine", "ALTER TABLE t RENAME TO u", Some("ALTER TABLE u RENAME TO t"))
        .script("2_noop", "CREATE TABLE x(a)", Some("SELECT 1"))
        .script("3_fails", "CREATE TABLE y(a)", Some("DROP TABLE y;\nDROP TABLE nowhere"))
        .script("4_order", "ALTER TABLE u DROP COLUMN a", Some("ALTER TABLE u ADD COLUMN a"))
        .script("5_again", "CREATE TABLE IF NOT EXISTS z(a)", Some("DROP TABLE z"));
    let error = world.migrations().impact().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let named: Vec<_> = error.facts().collect();
    assert_eq!(
        named,
        [
            ("way back of 2", "the down script does not restore the schema: objects x"),
            (
                "way back of 3",
                "SQLite refused the statement: sqlite no such table: nowhere, statement 2, line 2"
            ),
            ("way back of 4", "the down script does not restore the schema: objects u"),
        ]
    );
}

#[tokio::test]
async fn the_rehearsal_begins_where_the_database_stands() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE t(a)", Some("DROP TABLE t"));
    world.migrations().apply(&permit()).await.unwrap();
    assert_eq!(world.migrations().impact().await.unwrap(), []);
    world.script("2_b", "INSERT INTO t VALUES(1)", Some("DELETE FROM t"));
    assert_eq!(world.migrations().impact().await.unwrap().len(), 1);
    assert_eq!(world.ask("SELECT count(*) FROM t").await, ["0"]);
}
