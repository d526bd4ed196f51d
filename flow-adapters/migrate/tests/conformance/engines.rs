//! What holds on every engine.

use std::time::Duration;

use flow_core::ErrorKind;
use flow_migrate::{Goal, Retreat, Standing, Way};

use crate::stage::{ENGINES, Engine, Stage, badly, key, well};
use crate::world::fact;

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_down_and_up_again_and_sqlx_finds_its_rows() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage
            .script("1_a_b", "CREATE TABLE a (x INT); INSERT INTO a VALUES (1)", Some("DROP TABLE a"))
            .script("2_b", "INSERT INTO a VALUES (2)", Some("DELETE FROM a WHERE x = 2"))
            .script("20191100000001000000_c", "CREATE TABLE c (x INT)", Some("DROP TABLE c"));
        for _ in 0..2 {
            assert_eq!(well(stage.up().await), ["1", "2", "20191100000001000000"], "{engine:?}");
            assert_eq!(stage.tables().await, ["a", "c"]);
            assert_eq!(stage.ask("SELECT x FROM a ORDER BY x").await, ["1", "2"]);
            let rows = stage
                .ask("SELECT version, description, success FROM _sqlx_migrations ORDER BY version")
                .await;
            let rows: Vec<_> = rows.iter().map(|row| row.split('|').next().unwrap()).collect();
            assert_eq!(rows, ["1", "2"], "{engine:?}");
            assert_eq!(well(stage.up().await), Vec::<String>::new());
            assert_eq!(well(stage.down(Retreat::Steps(1)).await), ["20191100000001000000"]);
            assert_eq!(well(stage.down(Retreat::To("1".to_owned())).await), ["2"]);
            assert_eq!(well(stage.down(Retreat::All).await), ["1"], "{engine:?}");
            assert_eq!(stage.tables().await, Vec::<String>::new());
            assert_eq!(stage.ask("SELECT version FROM _sqlx_migrations").await, Vec::<String>::new());
        }
        assert_eq!(well(stage.migrations().up(&key("to"), &Goal::To("02".to_owned())).await), ["1", "2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_is_named_with_the_servers_code_and_gives_the_lock_back() {
    for (engine, code) in [(Engine::Postgres, "42P01"), (Engine::Mariadb, "1146"), (Engine::Sqlite, "1")] {
        let stage = Stage::new(engine).await;
        stage.script("1_a", "INSERT INTO nowhere VALUES (1)", None);
        for _ in 0..2 {
            let error = badly(stage.impatient().up(&key("up"), &Goal::Latest).await);
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
            let named = ["version", "statement", "line", "code"].map(|name| fact(&error, name));
            assert_eq!(named, ["1", "1", "1", code], "{engine:?}");
        }
        assert_eq!(stage.tables().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_an_edited_and_a_missing_migration_are_refused_with_the_list() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage.script("1_a", "CREATE TABLE a (x INT)", None).script("3_c", "CREATE TABLE c (x INT)", None);
        well(stage.up().await);
        std::fs::remove_file(stage.scripts().join("1_a.up.sql")).unwrap();
        stage.script("2_b", "CREATE TABLE b (x INT)", None).script(
            "3_c",
            "CREATE TABLE c (y INT)",
            Some("DROP TABLE c"),
        );
        let error = badly(stage.up().await);
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let named = ["edited", "missing", "out of order"].map(|name| fact(&error, name));
        assert_eq!(named, ["3", "1", "2"], "{engine:?}");
        assert_eq!(stage.tables().await, ["a", "c"]);
        let status = stage.migrations().status().await.unwrap();
        let status: Vec<_> =
            status.iter().map(|one| (one.version.as_str(), one.standing, one.way_back)).collect();
        assert_eq!(
            status,
            [
                ("1", Standing::Missing, Way::Absent),
                ("2", Standing::OutOfOrder, Way::Absent),
                ("3", Standing::Edited, Way::Present),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_back_nothing_is_taken_back_and_an_edited_one_is_not_run() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage
            .script("1_a", "CREATE TABLE a (x INT)", Some("DROP TABLE a"))
            .script("2_b", "CREATE TABLE b (x INT)", None)
            .script("3_c", "CREATE TABLE c (x INT)", Some("DROP TABLE c"));
        well(stage.up().await);
        let error = badly(stage.down(Retreat::All).await);
        assert_eq!((error.kind(), fact(&error, "irreversible")), (ErrorKind::Conflict, "2"), "{engine:?}");
        assert_eq!(stage.tables().await, ["a", "b", "c"]);
        stage.script("3_c", "CREATE TABLE c (x INT)", Some("SELECT 1"));
        well(stage.down(Retreat::To("2".to_owned())).await);
        assert_eq!(stage.tables().await, ["a", "b"], "{engine:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_at_once_on_an_empty_database_one_applies_and_all_succeed() {
    let processes = if flow_proving::is_long() { 20 } else { 6 };
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage.script("0_log", "CREATE TABLE log (version INT)", None);
        for version in 1..=8 {
            let up = format!("CREATE TABLE t{version} (x INT); INSERT INTO log VALUES ({version})");
            stage.script(&format!("{version}_m"), &up, None);
        }
        let all: Vec<_> = (0..processes).map(|_| stage.process()).collect();
        for mut process in all {
            assert!(process.wait().await.unwrap().success(), "{engine:?}");
        }
        let versions: Vec<_> = (1..=8).map(|version| version.to_string()).collect();
        assert_eq!(stage.ask("SELECT version FROM log ORDER BY version").await, versions, "{engine:?}");
        assert_eq!(stage.applied().await.len(), 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_told_who_holds_the_lock() {
    for (engine, slow, holder) in [
        (Engine::Postgres, "SELECT pg_sleep(30)", "flow-migrate"),
        (Engine::Mariadb, "SELECT SLEEP(30)", "app"),
        (
            Engine::Sqlite,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "flow-migrate",
        ),
    ] {
        let stage = Stage::new(engine).await;
        stage.script("1_a", slow, None);
        let migrations = stage.migrations();
        let (cancel, permit) = {
            let cancel = flow_core::CancelToken::new();
            (cancel.clone(), flow_core::Permit::for_tests("holder", flow_core::Fence(1), 1, cancel))
        };
        let running = tokio::spawn(async move { migrations.up(&permit, &Goal::Latest).await });
        let error = loop {
            // Before the first holds the lock, the second would run the script itself: it looks from afar.
            if stage.held().await {
                break badly(stage.impatient().up(&key("second"), &Goal::Latest).await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{engine:?} {error}");
        assert!(fact(&error, "holder").contains(holder), "{engine:?} {error}");
        cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
        assert_eq!(badly(ended).kind(), ErrorKind::Cancelled, "{engine:?}");
        std::fs::remove_file(stage.scripts().join("1_a.up.sql")).unwrap();
        well(stage.impatient().up(&key("third"), &Goal::Latest).await);
    }
}
