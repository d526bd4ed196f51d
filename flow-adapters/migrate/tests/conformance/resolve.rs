//! What an operator says of a statement whose end the database cannot tell.

use flow_core::ErrorKind;
use flow_migrate::Resolution;
use flow_proving::until;
use tokio::io::AsyncWriteExt as _;

use crate::stage::{Engine, Stage, badly, key, well};
use crate::world::fact;

/// Kills the migrator that runs `statement`, and then the session that it leaves.
async fn interrupted(stage: &Stage, statement: &str) {
    let mut process = stage.process();
    let runs = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND USER = 'app' AND INFO LIKE '{statement}%'"
    );
    let session = until("the statement runs", || async { Ok(stage.ask(&runs).await.pop()) }).await.unwrap();
    process.start_kill().unwrap();
    process.wait().await.unwrap();
    stage.ask(&format!("KILL {session}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_is_not_known_is_resolved_by_its_operator() {
    for (resolution, rows) in [(Resolution::Applied, 1), (Resolution::NotApplied, 2)] {
        let stage = Stage::new(Engine::Mariadb).await;
        stage.ask("CREATE TABLE log (x INT); CREATE TABLE wait (s INT); INSERT INTO wait VALUES (60)").await;
        let procedure =
            "CREATE PROCEDURE p() BEGIN INSERT INTO log VALUES (1); SELECT SLEEP(s) FROM wait; END";
        stage.script("0_p", procedure, None);
        well(stage.up().await);
        stage.script("1_call", "CREATE TABLE a (x INT);\nCALL p();\nCREATE TABLE b (x INT)", None);
        let nothing = stage.migrations().resolve(&key("early"), "1", resolution).await.unwrap_err();
        assert_eq!((nothing.kind(), fact(&nothing, "version")), (ErrorKind::Conflict, "1"));
        interrupted(&stage, "SELECT SLEEP").await;
        for _ in 0..2 {
            let error = badly(stage.up().await);
            assert_eq!((error.kind(), fact(&error, "statement")), (ErrorKind::Conflict, "2"), "{error}");
            assert_eq!(fact(&error, "stands"), "statement 1 of 3", "{error}");
        }
        stage.ask("UPDATE wait SET s = 0").await;
        stage.migrations().resolve(&key("resolve"), "1", resolution).await.unwrap();
        assert_eq!(well(stage.up().await), ["1"], "{resolution:?}");
        assert_eq!(stage.ask("SELECT count(*) FROM log").await, [rows.to_string()], "{resolution:?}");
        assert_eq!(stage.tables().await, ["a", "b", "log", "wait"]);
        let again = stage.migrations().resolve(&key("again"), "1", resolution).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalogue_shows_is_not_resolved_otherwise() {
    let stage = Stage::new(Engine::Mariadb).await;
    stage.ask("CREATE TABLE a (x INT)").await;
    stage.script("1_a", "CREATE TABLE b (x INT); ALTER TABLE a ADD COLUMN y INT", None);
    let mut holder = stage.client();
    holder
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"BEGIN; SELECT * FROM a; DO GET_LOCK('reads', 0);\n")
        .await
        .unwrap();
    let reads = "SELECT 1 FROM DUAL WHERE IS_USED_LOCK('reads') IS NOT NULL";
    until("it is read", || async { Ok((!stage.ask(reads).await.is_empty()).then_some(())) }).await.unwrap();
    interrupted(&stage, "ALTER TABLE a").await;
    holder.stdin.take();
    holder.wait().await.unwrap();
    let error = stage.migrations().resolve(&key("wrong"), "1", Resolution::Applied).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "stands")), (ErrorKind::Conflict, "statement 1 of 2"), "{error}");
    stage.migrations().resolve(&key("right"), "1", Resolution::NotApplied).await.unwrap();
    assert_eq!(well(stage.up().await), ["1"]);
    assert_eq!(stage.ask("SELECT x, y FROM a").await, Vec::<String>::new());
}
