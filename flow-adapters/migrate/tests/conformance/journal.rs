//! Migrators that are killed at any of their requests, up and down: every record of the ledger lies between two of them.
//!
//! On a server the way to it ends at one request, before it arrives or after its answer; a file has no requests, so that a trigger keeps
//! the migrator busy at one record instead.

use flow_migrate::{Direction, Retreat};
use flow_proving::{is_long, until};

use crate::stage::{Engine, Stage, well};
use crate::wire::{End, Wire};

/// Kills of one engine where not all are made.
const KILLS: usize = 12;
/// A run's last requests close its two connections. Nobody waits for an answer, and they may arrive as one.
const CLOSES: usize = 2;

/// Migrations of every kind, each of which leaves its number in `log`, and the opposite on its way back.
async fn prepared(engine: Engine) -> Stage {
    let stage = Stage::new(engine).await;
    stage.ask_as_owner("CREATE TABLE log (n INT)").await;
    let one = |n: i32| format!("INSERT INTO log VALUES ({n});");
    let (begin, index, drop) = match engine {
        Engine::Postgres => ("BEGIN", "CREATE INDEX CONCURRENTLY i ON t (x)", "DROP INDEX CONCURRENTLY i"),
        Engine::Mariadb => ("START TRANSACTION", "CREATE INDEX i ON t (x)", "DROP INDEX i ON t"),
        Engine::Sqlite => ("BEGIN", "CREATE INDEX i ON t (x)", "DROP INDEX i"),
    };
    let apart = if engine == Engine::Mariadb { "" } else { "-- no-transaction\n" };
    stage
        .script(
            "1_table",
            &format!("CREATE TABLE t (x INT, y INT); {}", one(1)),
            Some(&format!("{} DROP TABLE t", one(-1))),
        )
        .script("2_rows", &one(2), Some(&one(-2)))
        .script(
            "3_index",
            &format!("{apart}{} {index}; {}", one(3), one(4)),
            Some(&format!("{apart}{} {drop}; {}", one(-4), one(-3))),
        )
        .script(
            "4_own",
            &format!("{begin}; {} {} COMMIT; ALTER TABLE t ADD COLUMN z INT; {}", one(5), one(6), one(7)),
            Some(&format!(
                "{} ALTER TABLE t DROP COLUMN z; {begin}; {} {} COMMIT",
                one(-7),
                one(-6),
                one(-5)
            )),
        );
    stage
}

/// One that stands where a run in `direction` begins.
async fn ready(engine: Engine, direction: Direction) -> Stage {
    let stage = prepared(engine).await;
    if direction == Direction::Down {
        well(stage.up().await);
    }
    stage
}

/// What the plain client sees: the catalogue, the rows, and what is recorded.
async fn stands(stage: &Stage) -> [Vec<String>; 4] {
    let sqlx = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
    [
        stage.dump().await,
        stage.ask("SELECT n FROM log ORDER BY abs(n), n").await,
        stage.ask("SELECT version FROM _flow_migrations WHERE state = 'applied' AND begun IS NULL ORDER BY version").await,
        stage.ask(sqlx).await,
    ]
}

async fn go_on(stage: &Stage, direction: Direction) {
    match direction {
        Direction::Up => well(stage.up().await),
        Direction::Down => well(stage.down(Retreat::All).await),
    };
}

/// Some of `all` that are spread over it and always the same, or all in the long tier.
fn chosen<T: Copy>(all: &[T]) -> Vec<T> {
    let step = if is_long() { 1 } else { (all.len() / KILLS).max(1) };
    // A run begins with what every run begins with, and ends with what it is for.
    let spread = all.iter().rev().step_by(step).copied();
    if is_long() { spread.collect() } else { spread.take(KILLS).collect() }
}

async fn killed_at_any_request(engine: Engine) {
    let mut points = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        let stage = ready(engine, direction).await;
        let wire = Wire::to(stage.port(), None).await;
        assert!(stage.process_by(wire.port(), direction).wait().await.unwrap().success());
        points.extend(
            (1..=wire.seen()).flat_map(|at| [(direction, at, End::Before), (direction, at, End::After)]),
        );
    }
    let mut expected = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        let stage = ready(engine, direction).await;
        go_on(&stage, direction).await;
        expected.push(stands(&stage).await);
    }
    let chosen = chosen(&points);
    for (direction, at, end) in &chosen {
        let stage = ready(engine, *direction).await;
        let wire = Wire::to(stage.port(), Some((*at, *end))).await;
        let mut process = stage.process_by(wire.port(), *direction);
        tokio::select! {
            () = wire.stopped() => process.kill().await.unwrap(),
            ended = process.wait() => {
                assert!(ended.unwrap().success() && wire.seen() + CLOSES >= *at, "{direction:?} {at}");
            }
        }
        drop(wire);
        go_on(&stage, *direction).await;
        let found = stands(&stage).await;
        assert_eq!(
            found,
            expected[usize::from(*direction == Direction::Down)],
            "{engine:?} {direction:?} {at} {end:?}"
        );
    }
    println!("{engine:?}: {} kills at {} requests", chosen.len(), points.len() / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_at_any_request_to_postgresql_is_gone_on_from() {
    killed_at_any_request(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_at_any_request_to_mariadb_is_gone_on_from() {
    killed_at_any_request(Engine::Mariadb).await;
}

/// Counts the records of the ledger. At the one that `stop` names it writes more than a cache holds, which is seen from outside, and
/// never ends.
fn triggers() -> String {
    let body = "INSERT INTO steps VALUES (1);
        INSERT INTO spill SELECT randomblob(16000000) FROM stop WHERE at = (SELECT count(*) FROM steps);
        SELECT CASE WHEN EXISTS (SELECT 1 FROM spill) THEN
            (SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)) END;";
    let events = ["INSERT", "UPDATE", "DELETE"].iter();
    let triggers: String = events
        .map(|event| {
            format!("CREATE TRIGGER step_{event} AFTER {event} ON _flow_migrations BEGIN {body} END;\n")
        })
        .collect();
    format!(
        "CREATE TABLE stop (at INT); CREATE TABLE steps (n INT); CREATE TABLE spill (x BLOB);\n{triggers}"
    )
}

const NO_TRIGGERS: &str = "DROP TRIGGER step_INSERT; DROP TRIGGER step_UPDATE; DROP TRIGGER step_DELETE;
    DROP TABLE stop; DROP TABLE steps; DROP TABLE spill";

async fn watched(direction: Direction) -> Stage {
    let stage = ready(Engine::Sqlite, direction).await;
    if direction == Direction::Up {
        // So that the ledger is there.
        well(stage.up().await);
        well(stage.down(Retreat::All).await);
        stage.ask("DELETE FROM log").await;
    }
    stage.ask(&triggers()).await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_at_any_record_of_a_file_is_gone_on_from() {
    let (mut points, mut expected) = (Vec::new(), Vec::new());
    for direction in [Direction::Up, Direction::Down] {
        let stage = watched(direction).await;
        go_on(&stage, direction).await;
        let steps: usize = stage.ask("SELECT count(*) FROM steps").await[0].parse().unwrap();
        points.extend((1..=steps).map(|at| (direction, at)));
        stage.ask(NO_TRIGGERS).await;
        expected.push(stands(&stage).await);
    }
    let chosen = chosen(&points);
    for (direction, at) in &chosen {
        let stage = watched(*direction).await;
        stage.ask(&format!("INSERT INTO stop VALUES ({at})")).await;
        let mut process = stage.process_in(*direction);
        let database = stage.scripts().with_file_name("app.db");
        until("the migrator is at the record", || {
            let is_there = std::fs::metadata(&database).is_ok_and(|found| found.len() > 8_000_000);
            assert!(process.try_wait().unwrap().is_none(), "it ended before {direction:?} {at}");
            async move { Ok(is_there.then_some(())) }
        })
        .await
        .unwrap();
        process.kill().await.unwrap();
        stage.ask(NO_TRIGGERS).await;
        go_on(&stage, *direction).await;
        assert_eq!(
            stands(&stage).await,
            expected[usize::from(*direction == Direction::Down)],
            "{direction:?} {at}"
        );
    }
    println!("SQLite: {} kills of {} records", chosen.len(), points.len());
}
