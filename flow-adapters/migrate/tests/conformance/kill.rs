//! Migrators and servers that are killed in mid-statement, and what the next run makes of it.
//!
//! The script that is met by the kill waits for a lock that the test holds, so that each kill is where it is meant to be.

use flow_migrate::Goal;
use flow_proving::{is_long, until};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;

use crate::stage::{Engine, Stage, key, well};

const MIGRATIONS: usize = 12;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Migrator,
    /// The session that runs the script.
    Session,
    Server,
}

/// Tables that can be locked apart, and migrations that each change one in their middle: the odd ones in a transaction where the
/// engine has one for them, the even ones outside.
fn prepare(stage: &Stage) {
    let tables: String = (1..=MIGRATIONS).map(|at| format!("CREATE TABLE t{at} (x INT); ")).collect();
    stage.script("0_tables", &tables, None);
    for at in 1..=MIGRATIONS {
        let outside = match stage.engine {
            Engine::Postgres => format!(
                "-- no-transaction\nINSERT INTO t{at} VALUES (1); CREATE INDEX CONCURRENTLY i{at} ON t{at} (x); INSERT INTO t{at} VALUES (2)"
            ),
            _ => format!(
                "INSERT INTO t{at} VALUES (1); CREATE INDEX i{at} ON t{at} (x); INSERT INTO t{at} VALUES (2)"
            ),
        };
        let within = match stage.engine {
            Engine::Postgres => format!(
                "INSERT INTO t{at} VALUES (1); ALTER TABLE t{at} ADD COLUMN y INT; INSERT INTO t{at} VALUES (2)"
            ),
            _ => format!(
                "INSERT INTO t{at} VALUES (1); DELETE FROM t0 WHERE x = {at}; INSERT INTO t{at} VALUES (2)"
            ),
        };
        stage.script(&format!("{at}_m"), if at.is_multiple_of(2) { &outside } else { &within }, None);
    }
    if stage.engine == Engine::Mariadb {
        let rows: Vec<_> = (1..=MIGRATIONS).map(|at| format!("({at})")).collect();
        let create = format!(
            "CREATE TABLE t0 (x INT PRIMARY KEY); INSERT INTO t0 VALUES {}; {tables}",
            rows.join(", ")
        );
        stage.script("0_tables", &create, None);
    }
}

/// Keeps migration `at` waiting in its second statement.
async fn hold(stage: &Stage, at: usize) -> Child {
    let mut holder = stage.client();
    let lock = match stage.engine {
        Engine::Postgres if at.is_multiple_of(2) => {
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t1;".to_owned()
        }
        Engine::Postgres => format!("BEGIN; SELECT * FROM t{at};"),
        _ if at.is_multiple_of(2) => format!("BEGIN; SELECT * FROM t{at};"),
        _ => {
            format!("BEGIN; UPDATE t0 SET x = x WHERE x = {at}; SELECT * FROM t0 WHERE x = {at} FOR UPDATE;")
        }
    };
    let told =
        if stage.engine == Engine::Mariadb { " DO GET_LOCK(CONCAT(DATABASE(), ' held'), 0);" } else { "" };
    holder.stdin.as_mut().unwrap().write_all(format!("{lock}{told}\n").as_bytes()).await.unwrap();
    let holds = match stage.engine {
        Engine::Postgres => {
            "SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessShareLock'
             AND relation::regclass::text LIKE 't%' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        }
        _ => "SELECT 1 FROM DUAL WHERE IS_USED_LOCK(CONCAT(DATABASE(), ' held')) IS NOT NULL",
    };
    until("the lock is held", || async { Ok((!stage.ask(holds).await.is_empty()).then_some(())) })
        .await
        .unwrap();
    holder
}

async fn waits(stage: &Stage) {
    let waits = match stage.engine {
        Engine::Postgres => {
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
             AND (query LIKE 'ALTER%' OR query LIKE 'CREATE INDEX%')"
        }
        _ => {
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND USER = 'app'
             AND (INFO LIKE 'CREATE INDEX%' OR INFO LIKE 'DELETE FROM t0%')"
        }
    };
    until("the migration waits", || async { Ok((!stage.ask(waits).await.is_empty()).then_some(())) })
        .await
        .unwrap();
}

async fn kill(stage: &mut Stage, victim: Victim, at: usize) {
    let holder = hold(stage, at).await;
    let mut process = stage.process();
    waits(stage).await;
    match victim {
        Victim::Migrator => process.start_kill().unwrap(),
        Victim::Session => {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                AND datname = current_database()";
            assert!(!stage.ask(end).await.is_empty());
        }
        Victim::Server => stage.lose_power().await,
    }
    assert!(!process.wait().await.unwrap().success(), "{victim:?} {at}");
    drop(holder);
}

async fn survives(engine: Engine, victim: Victim) {
    let reference = Stage::new(engine).await;
    prepare(&reference);
    well(reference.up().await);
    let expected = reference.dump().await;
    let mut stage =
        if victim == Victim::Server { Stage::alone(engine).await } else { Stage::new(engine).await };
    prepare(&stage);
    let step = if is_long() || victim == Victim::Migrator { 1 } else { 5 };
    for at in (1..=MIGRATIONS).step_by(step) {
        let before = Goal::To((at - 1).to_string());
        well(stage.migrations().up(&key("before"), &before).await);
        kill(&mut stage, victim, at).await;

        let after = stage.migrations().up(&key("after"), &Goal::To(at.to_string())).await;
        assert_eq!(well(after), [at.to_string()], "{engine:?} {victim:?}");
        let rows = stage.ask(&format!("SELECT x FROM t{at} ORDER BY x")).await;
        assert_eq!(rows, ["1", "2"], "{engine:?} {victim:?} {at}");
    }
    well(stage.up().await);
    assert_eq!(stage.dump().await, expected, "{engine:?} {victim:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_at_any_of_postgresqls_migrations_is_gone_on_from() {
    survives(Engine::Postgres, Victim::Migrator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_at_any_of_mariadbs_migrations_is_gone_on_from() {
    survives(Engine::Mariadb, Victim::Migrator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_postgresql_ends_in_mid_statement_is_gone_on_from() {
    survives(Engine::Postgres, Victim::Session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_killed_in_mid_statement_is_gone_on_from() {
    survives(Engine::Postgres, Victim::Server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_killed_in_mid_statement_is_gone_on_from() {
    survives(Engine::Mariadb, Victim::Server).await;
}
