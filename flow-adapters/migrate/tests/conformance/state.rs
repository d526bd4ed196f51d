use flow_core::port::Migrator as _;
use flow_core::{ErrorKind, name};
use flow_migrate::{ConsistencyQuery, MissingDatabase, SqlConfig, SqlMigrations};
use flow_testkit::permit;
use sqlx::Executor as _;

use crate::world::{World, fact};

const TWO: [(&str, &str, &str); 2] = [
    ("1_users", "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)", "DROP TABLE users"),
    ("2_mail", "ALTER TABLE users ADD COLUMN mail TEXT", "ALTER TABLE users DROP COLUMN mail"),
];

fn two() -> World {
    let world = World::new();
    for (stem, up, down) in TWO {
        world.script(stem, up, Some(down));
    }
    world
}

#[tokio::test]
async fn a_missing_database_is_not_found_and_is_not_made() {
    let world = World::without_database();
    world.script("1_a", "CREATE TABLE t(a)", None);
    let migrations = world.migrations();
    assert_eq!(migrations.state().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(migrations.impact().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(migrations.check().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(migrations.back_up(&permit()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(migrations.apply(&permit()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(migrations.revert_to(&permit(), &[]).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!world.database().exists());
}

#[tokio::test]
async fn a_database_that_may_be_made_is_empty_until_it_is_applied_to() {
    let world = World::without_database();
    world.script("1_a", "CREATE TABLE t(a)", Some("DROP TABLE t"));
    let config = SqlConfig { missing: MissingDatabase::Create, ..world.config() };
    let migrations = SqlMigrations::new(config).unwrap();
    assert_eq!(migrations.state().await.unwrap().pending.len(), 1);
    assert_eq!(migrations.impact().await.unwrap().len(), 1);
    migrations.revert_to(&permit(), &[]).await.unwrap();
    assert!(!world.database().exists());
    let proof = migrations.back_up(&permit()).await.unwrap();
    assert_eq!(proof.tables, []);
    migrations.apply(&permit()).await.unwrap();
    assert_eq!(world.schema().await, ["table t CREATE TABLE t(a)"]);
}

#[tokio::test]
async fn reading_changes_no_byte_of_the_database_in_either_journal_mode() {
    for mode in ["DELETE", "WAL"] {
        let world = two();
        world.run(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE t(a); INSERT INTO t VALUES(1)")).await;
        let checks =
            vec![ConsistencyQuery { name: name!("q"), sql: "SELECT a FROM t".into(), expect: "1".into() }];
        let migrations = SqlMigrations::new(SqlConfig { checks, ..world.config() }).unwrap();
        let before = world.bytes();
        migrations.scripts().await.unwrap();
        migrations.state().await.unwrap();
        migrations.impact().await.unwrap();
        assert!(migrations.check().await.unwrap()[0].holds);
        assert_eq!(world.bytes(), before, "{mode}");
        assert_eq!(world.backup_files(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_journal_mode_stays_what_it_was() {
    for mode in ["delete", "wal"] {
        let world = two();
        world.run(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE t(a)")).await;
        let migrations = world.migrations();
        migrations.back_up(&permit()).await.unwrap();
        migrations.apply(&permit()).await.unwrap();
        migrations.revert_to(&permit(), &[]).await.unwrap();
        assert_eq!(world.ask("PRAGMA journal_mode").await, [mode]);
    }
}

#[tokio::test]
async fn edited_missing_and_late_migrations_are_a_conflict_with_the_list_and_nothing_is_applied() {
    let world = two();
    world.migrations().apply(&permit()).await.unwrap();
    std::fs::remove_file(world.scripts().join("1_users.up.sql")).unwrap();
    std::fs::remove_file(world.scripts().join("1_users.down.sql")).unwrap();
    world.script("0_early", "CREATE TABLE early(a)", None);
    world.script("2_mail", "ALTER TABLE users ADD COLUMN post TEXT", None);
    world.script("3_more", "CREATE TABLE more(a)", None);
    let before = world.bytes();
    for conflict in [
        world.migrations().state().await.unwrap_err(),
        world.migrations().impact().await.unwrap_err(),
        world.migrations().apply(&permit()).await.unwrap_err(),
    ] {
        assert_eq!(
            (fact(&conflict, "edited"), fact(&conflict, "missing"), fact(&conflict, "out of order")),
            ("2", "1", "0")
        );
    }
    assert_eq!(world.applied().await, ["1", "2"]);
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn another_checkout_with_other_line_ends_or_another_down_script_is_no_edit() {
    let world = World::new();
    world.script("1_a", "CREATE TABLE t(\na);\n", Some("DROP TABLE t"));
    world.migrations().apply(&permit()).await.unwrap();
    world.script("1_a", "CREATE TABLE t(\r\na);\r\n", Some("DROP TABLE t; -- better"));
    assert_eq!(world.migrations().state().await.unwrap().applied, ["1"]);
}

#[tokio::test]
async fn the_schema_digest_comes_back_with_the_schema_and_ignores_our_own_table() {
    let world = two();
    let migrations = world.migrations();
    let before = migrations.state().await.unwrap();
    assert_eq!(before.applied, Vec::<String>::new());
    migrations.apply(&permit()).await.unwrap();
    let applied = migrations.state().await.unwrap();
    assert_eq!((applied.applied.len(), applied.pending.len()), (2, 0));
    assert_ne!(applied.schema, before.schema);
    migrations.revert_to(&permit(), &["1".to_owned()]).await.unwrap();
    let one = migrations.state().await.unwrap();
    assert_eq!(one.pending.iter().map(|script| script.name.as_str()).collect::<Vec<_>>(), ["mail"]);
    migrations.revert_to(&permit(), &[]).await.unwrap();
    assert_eq!(migrations.state().await.unwrap(), before);
}

#[tokio::test]
async fn every_problem_of_every_script_is_invalid_and_named() {
    let world = World::new();
    world.script("1_a", "DROP TABLE _flow_migrations; SELECT 1; DELETE FROM _flow_migrations", None);
    world.script("01_b", "-- nothing", None);
    let error = world.migrations().scripts().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let problems = std::error::Error::source(&error).unwrap().to_string();
    for expected in ["statement 1, line 1: `_flow_migrations`", "statement 3", "same version"] {
        assert!(problems.contains(expected), "{expected} not in {problems}");
    }
    assert_eq!(world.migrations().apply(&permit()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(world.schema().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_no_database_and_a_directory_that_is_not_there_are_told_apart() {
    let world = two();
    std::fs::write(world.database(), [b'x'; 4096]).unwrap();
    assert_eq!(world.migrations().state().await.unwrap_err().kind(), ErrorKind::Conflict);
    std::fs::remove_dir_all(world.scripts()).unwrap();
    assert_eq!(world.migrations().scripts().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_inconsistency_is_an_answer_and_a_query_that_writes_is_refused() {
    let world = World::new();
    world.run("CREATE TABLE t(a, b); INSERT INTO t VALUES(1, NULL), (2.5, 'x'), (x'00', '')").await;
    let query =
        |name, sql: &str, expect: &str| ConsistencyQuery { name, sql: sql.into(), expect: expect.into() };
    let ask = |checks| SqlMigrations::new(SqlConfig { checks, ..world.config() }).unwrap();
    let answers = ask(vec![
        query(name!("rows"), "SELECT a, b FROM t", "1|NULL\n2.5|x\n1 bytes|"),
        query(name!("orphans"), "SELECT count(*) FROM t WHERE a = 1", "0"),
    ]);
    let found = answers.check().await.unwrap();
    assert_eq!((found[0].holds, found[1].holds, found[1].found.as_str()), (true, false, "1"));
    let before = world.bytes();
    for sql in ["DELETE FROM t", "PRAGMA user_version = 7", "CREATE TEMP TABLE x AS SELECT * FROM t"] {
        let refused = ask(vec![query(name!("writes"), sql, "")]).check().await.unwrap_err();
        assert_eq!((refused.kind(), fact(&refused, "check")), (ErrorKind::Denied, "writes"), "{sql}");
    }
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn what_a_writer_left_that_died_in_its_commit_is_played_back_before_anything_is_read() {
    let crashing = two();
    crashing
        .run(
            "CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO t SELECT 1, hex(randomblob(50)) FROM n",
        )
        .await;
    let committed = crashing.bytes();
    // A cache of one page makes the writer sync its journal and write to the database before it commits.
    let mut writer = crashing.connect().await;
    writer.execute("PRAGMA cache_size = 1; BEGIN; UPDATE t SET a = 2").await.unwrap();
    let world = two();
    for name in ["app.db", "app.db-journal"] {
        std::fs::copy(crashing.root().join(name), world.root().join(name)).unwrap();
    }
    drop(writer);
    assert_ne!(world.bytes(), committed, "nothing of the transaction reached the file");
    assert_ne!(std::fs::read(world.root().join("app.db-journal")).unwrap()[0], 0, "the journal is not hot");

    let checks = vec![ConsistencyQuery {
        name: name!("old"),
        sql: "SELECT DISTINCT a FROM t".into(),
        expect: "1".into(),
    }];
    let migrations = SqlMigrations::new(SqlConfig { checks, ..world.config() }).unwrap();
    assert_eq!(migrations.state().await.unwrap().pending.len(), 2);
    assert!(migrations.check().await.unwrap()[0].holds);
    assert_eq!(world.bytes(), committed);
}
