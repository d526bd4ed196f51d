use std::time::Duration;

use flow_core::port::Migrator as _;
use flow_core::{CancelToken, ErrorKind, Fence, Permit};
use flow_testkit::{permit, permit_under};
use sqlx::{Connection as _, Executor as _};

use crate::world::{World, fact};

#[tokio::test]
async fn migrations_run_in_the_order_of_their_numbers_and_once_under_one_permit() {
    let world = World::new();
    world
        .script("10_c", "INSERT INTO log VALUES(10)", None)
        .script("20191100000001000000_d", "INSERT INTO log VALUES(20)", None)
        .script("9_b", "INSERT INTO log VALUES(9)", Some("DELETE FROM log WHERE v = 9"))
        .script("0001_a b", "CREATE TABLE log(v); INSERT INTO log VALUES(1)", Some("DROP TABLE log"));
    let first = world.migrations().apply(&permit()).await.unwrap();
    let versions: Vec<_> = first.iter().map(|done| (done.version.as_str(), done.statements)).collect();
    assert_eq!(versions, [("0001", 2), ("9", 1), ("10", 1), ("20191100000001000000", 1)]);
    assert_eq!(world.ask("SELECT v FROM log").await, ["1", "9", "10", "20"]);
    // What a lost answer would have said is said again.
    assert_eq!(world.migrations().apply(&permit()).await.unwrap(), first);
    assert_eq!(world.migrations().apply(&permit_under("other", Fence(1), 1)).await.unwrap(), []);
    assert_eq!(world.ask("SELECT count(*) FROM log").await, ["4"]);
    let kept = "SELECT version || ':' || coalesce(down_script, '-') FROM _flow_migrations ORDER BY seq";
    let expected = ["0001:DROP TABLE log", "9:DELETE FROM log WHERE v = 9", "10:-", "20191100000001000000:-"];
    assert_eq!(world.ask(kept).await, expected);
}

#[tokio::test]
async fn a_failing_statement_is_named_and_leaves_nothing_behind() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE t(a UNIQUE);\n\n-- twice\nINSERT INTO t VALUES(1),\n(1);", None);
    let before = world.bytes();
    let error = world.migrations().apply(&permit()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let named =
        ["version", "direction", "statement", "line", "code", "sqlite"].map(|name| fact(&error, name));
    assert_eq!(named, ["1", "up", "2", "4", "2067", "UNIQUE constraint failed: t.a"]);
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn a_failure_after_a_finished_migration_is_in_doubt_and_the_finished_one_stands_whole() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE a(x)", None);
    world.script("2_b", "CREATE TABLE b(x); INSERT INTO b VALUES(1); SELECT nonsense()", None);
    for _ in 0..2 {
        let error = world.migrations().apply(&permit()).await.unwrap_err();
        assert!(!error.kind().is_rejection());
        assert_eq!((fact(&error, "version"), fact(&error, "applied")), ("2", "1"));
    }
    // Under another key nothing was left behind.
    let error = world.migrations().apply(&permit_under("other", Fence(2), 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(world.schema().await, ["table a CREATE TABLE a(x)"]);
    assert_eq!(world.applied().await, ["1"]);
}

const PARENT: &str = "CREATE TABLE parent(id INTEGER PRIMARY KEY);
    CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id) ON DELETE CASCADE);
    INSERT INTO parent VALUES(1), (2), (3); INSERT INTO child VALUES(1, 1), (2, 2), (3, 3)";

const REBUILD: &str = "PRAGMA foreign_keys = OFF;
    CREATE TABLE parent_new(id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO parent_new(id) SELECT id FROM parent;
    DROP TABLE parent;
    ALTER TABLE parent_new RENAME TO parent;
    PRAGMA foreign_keys = ON;";

#[tokio::test]
async fn rebuilding_a_parent_table_keeps_the_rows_of_its_children() {
    let world = World::new();
    world.run(PARENT).await;
    // The naive way, on a connection as applications have it, loses them without an error.
    let mut naive = world.connect().await;
    naive.execute("BEGIN").await.unwrap();
    naive.execute(REBUILD).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM child").fetch_one(&mut naive).await.unwrap();
    naive.execute("ROLLBACK").await.unwrap();
    naive.close().await.unwrap();
    assert_eq!(left, 0);

    world.script("1_rebuild", REBUILD, None);
    world.migrations().apply(&permit()).await.unwrap();
    assert_eq!(world.ask("SELECT parent FROM child").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_migration_that_breaks_references_is_refused_and_old_breaks_are_not_its_fault() {
    let world = World::new();
    world.run(PARENT).await;
    world.run("PRAGMA foreign_keys = OFF; INSERT INTO child VALUES(9, 99)").await;
    world.script("1_fine", "UPDATE parent SET id = id; DELETE FROM child WHERE id = 1", None);
    world.migrations().apply(&permit()).await.unwrap();
    for (up, reason) in [
        ("DELETE FROM parent WHERE id = 2", "2 rows of `child` refer to no row of `parent`"),
        (
            "ALTER TABLE parent RENAME TO old; CREATE TABLE parent(id INTEGER PRIMARY KEY);
             INSERT INTO parent SELECT * FROM old; DELETE FROM child; DROP TABLE old",
            "`child` now refers to `old`, which is not there",
        ),
    ] {
        world.script("2_breaks", up, None);
        let error = world.migrations().apply(&permit_under("2", Fence(2), 1)).await.unwrap_err();
        assert_eq!((error.kind(), fact(&error, "references")), (ErrorKind::Failed, reason));
        assert_eq!(world.applied().await, ["1"]);
    }
    assert_eq!(world.ask("SELECT count(*) FROM parent").await, ["3"]);
}

#[tokio::test]
async fn a_table_that_others_refer_to_may_be_gone_between_two_migrations_and_not_after_the_last() {
    let world = World::new();
    world.run(PARENT).await;
    world
        .script(
            "1_copy",
            "CREATE TABLE copy(id INTEGER PRIMARY KEY); INSERT INTO copy SELECT id FROM parent",
            None,
        )
        .script("2_drop", "DROP TABLE parent", None)
        .script("3_rename", "ALTER TABLE copy RENAME TO parent", None)
        .script("4_read", "SELECT 1", None);
    world.migrations().apply(&permit()).await.unwrap();
    assert_eq!(world.ask("SELECT count(*) FROM child JOIN parent ON parent.id = child.parent").await, ["3"]);
    world.script("5_drop", "DROP TABLE parent", None).script("6_read", "SELECT 1", None);
    let error = world.migrations().apply(&permit_under("5", Fence(2), 1)).await.unwrap_err();
    let named = (fact(&error, "version"), fact(&error, "references"));
    assert_eq!(named, ("6", "`child` now refers to `parent`, which is not there"));
    assert_eq!(world.applied().await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn nothing_of_a_session_reaches_the_next_migration() {
    let world = World::new();
    world
        .script(
            "1_a",
            "PRAGMA legacy_alter_table = ON; CREATE TABLE t(a); CREATE VIEW v AS SELECT a FROM t",
            None,
        )
        .script("2_b", "CREATE TEMP TABLE scratch(a); INSERT INTO scratch VALUES(1)", None)
        // With the legacy setting on, the view would keep the old name.
        .script("3_c", "ALTER TABLE t RENAME TO u", None)
        .script("4_d", "INSERT INTO u SELECT a FROM scratch", None);
    let error = world.migrations().apply(&permit()).await.unwrap_err();
    assert_eq!((fact(&error, "version"), fact(&error, "sqlite")), ("4", "no such table: scratch"));
    assert_eq!(world.ask("SELECT count(*) FROM v").await, ["0"]);
}

#[tokio::test]
async fn triggers_with_cases_and_tables_of_other_tools_are_no_obstacle() {
    let world = World::new();
    world.run("CREATE TABLE schema_migrations(version)").await;
    world.script(
        "1_a",
        "DROP TABLE schema_migrations;
         CREATE TABLE t(a, b);
         CREATE TRIGGER g AFTER INSERT ON t BEGIN
           UPDATE t SET b = CASE WHEN new.a > 1 THEN CASE new.a WHEN 2 THEN 'two' END ELSE 'one;' END;
         END;
         INSERT INTO t(a) VALUES(2);",
        None,
    );
    assert_eq!(world.migrations().apply(&permit()).await.unwrap()[0].statements, 4);
    assert_eq!(world.ask("SELECT b FROM t").await, ["two"]);
}

#[tokio::test]
async fn a_held_lock_is_unavailable_and_another_attempt_gets_through() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE t(a)", Some("DROP TABLE t"));
    let mut holder = world.connect().await;
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    let migrations = world.impatient();
    assert_eq!(migrations.apply(&permit()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(migrations.back_up(&permit()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    holder.execute("ROLLBACK").await.unwrap();
    // A reader that does not let go keeps the commit out, and the migration is taken back whole.
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT * FROM sqlite_master").await.unwrap();
    assert_eq!(migrations.apply(&permit()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(world.schema().await, Vec::<String>::new());
    migrations.apply(&permit()).await.unwrap();
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(migrations.revert_to(&permit(), &[]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    holder.execute("ROLLBACK").await.unwrap();
    holder.close().await.unwrap();
    assert_eq!(world.applied().await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_interrupts_a_statement_under_way_and_leaves_nothing_of_it() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE done(a)", None);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    world.script("2_b", &format!("CREATE TABLE half(a); {endless}"), None);
    let cancel = CancelToken::new();
    let asked = Permit::for_tests("key", Fence(1), 1, cancel.clone());
    let migrations = world.migrations();
    let applying = tokio::spawn(async move { migrations.apply(&asked).await });
    let mut watcher = world.connect().await;
    watcher.execute("PRAGMA busy_timeout = 0").await.unwrap();
    // Cancelled when the first migration stands and the second one holds the lock.
    loop {
        let first = watcher.fetch_all("SELECT * FROM done").await.is_ok();
        let locked = watcher.execute("BEGIN IMMEDIATE").await.is_err();
        if first && locked {
            break;
        }
        let _ = watcher.execute("ROLLBACK").await;
        tokio::task::yield_now().await;
    }
    watcher.close().await.unwrap();
    cancel.cancel();
    let error = tokio::time::timeout(Duration::from_secs(60), applying).await.unwrap().unwrap().unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!(world.applied().await, ["1"]);
    assert_eq!(world.schema().await, ["table done CREATE TABLE done(a)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_lets_go_of_the_lock() {
    let world = World::new();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    world.script("1_a", &format!("CREATE TABLE half(a); {endless}"), None);
    let migrations = world.migrations();
    let applying = tokio::spawn(async move { migrations.apply(&permit()).await });
    let mut watcher = world.connect().await;
    watcher.execute("PRAGMA busy_timeout = 0").await.unwrap();
    while watcher.execute("BEGIN IMMEDIATE").await.is_ok() {
        watcher.execute("ROLLBACK").await.unwrap();
        tokio::task::yield_now().await;
    }
    applying.abort();
    watcher.execute("PRAGMA busy_timeout = 60000").await.unwrap();
    watcher.execute("BEGIN IMMEDIATE").await.unwrap();
    watcher.close().await.unwrap();
    assert_eq!(world.schema().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_attempt_that_a_later_one_has_taken_over_from_applies_nothing() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE a(x)", None);
    world.migrations().apply(&permit_under("key", Fence(7), 2)).await.unwrap();
    world.script("2_b", "CREATE TABLE b(x)", None);
    let error = world.migrations().apply(&permit_under("key", Fence(6), 1)).await.unwrap_err();
    assert_eq!(fact(&error, "fence"), "7");
    assert_eq!(world.applied().await, ["1"]);
}

#[tokio::test]
async fn a_directory_without_scripts_is_fine() {
    assert_eq!(World::new().migrations().apply(&permit()).await.unwrap(), []);
}
