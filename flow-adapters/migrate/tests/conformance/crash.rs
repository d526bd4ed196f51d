//! Processes that apply at the same time, and processes that are killed while they apply.
//!
//! Another process is this test binary again, told by an environment variable where the world is.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use flow_core::Fence;
use flow_core::port::Migrator as _;
use flow_testkit::permit_under;
use sqlx::Connection as _;
use tokio::process::{Child, Command};

use crate::world::World;

const ROOT: &str = "FLOW_MIGRATE_TEST_ROOT";
const MIGRATIONS: usize = 8;

/// Not a test of its own: what another process runs.
#[tokio::test]
#[ignore = "run as another process by the tests beside it"]
async fn apply_in_another_process() {
    if let Ok(url) = std::env::var(crate::stage::URL) {
        return crate::stage::apply_in_another_process(&url).await;
    }
    let root = std::env::var_os(ROOT).expect("run by another test");
    let key = format!("process-{}", std::process::id());
    let applied = World::at(Path::new(&root)).migrations().apply(&permit_under(&key, Fence(1), 1)).await;
    applied.unwrap();
}

fn process(world: &World) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::apply_in_another_process", "--ignored", "--quiet"])
        .env(ROOT, world.root())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Each migration writes its version to `log`, so that twice would show, and enough rows to be met half-way.
fn world(rows: usize) -> World {
    let world = World::new();
    for version in 1..=MIGRATIONS {
        let up = format!(
            "CREATE TABLE IF NOT EXISTS log(version);
             CREATE TABLE t{version}(i INTEGER PRIMARY KEY, v TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t{version} SELECT i, hex(randomblob(64)) FROM n;
             CREATE INDEX i{version} ON t{version}(v);
             INSERT INTO log VALUES({version});"
        );
        world.script(&format!("{version}_m"), &up, Some(&format!("DROP TABLE t{version}")));
    }
    world
}

async fn assert_each_applied_once(world: &World) {
    let versions: Vec<_> = (1..=MIGRATIONS).map(|version| version.to_string()).collect();
    assert_eq!(world.ask("SELECT version FROM log ORDER BY rowid").await, versions);
    assert_eq!(world.applied().await, versions);
    assert_eq!(world.ask("PRAGMA integrity_check").await, ["ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_processes_at_once_each_migration_is_applied_by_one_and_all_succeed() {
    let world = world(10);
    let processes: Vec<_> = (0..20).map(|_| process(&world)).collect();
    for mut process in processes {
        assert!(process.wait().await.unwrap().success());
    }
    assert_each_applied_once(&world).await;
    let mut keys = world.ask("SELECT DISTINCT applied_under FROM _flow_migrations").await;
    keys.retain(|key| key.starts_with("process-"));
    assert!(!keys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_migrators_in_one_process_apply_once_too() {
    let world = world(10);
    let applying: Vec<_> = (0..20)
        .map(|number| {
            let migrations = world.migrations();
            tokio::spawn(async move {
                migrations.apply(&permit_under(&format!("task {number}"), Fence(1), 1)).await.unwrap()
            })
        })
        .collect();
    let mut applied = Vec::new();
    for task in applying {
        applied.extend(task.await.unwrap().into_iter().map(|done| done.version));
    }
    assert_eq!(applied.len(), MIGRATIONS);
    assert_each_applied_once(&world).await;
}

/// Where a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// While a transaction has written to its journal.
    Within,
    /// As soon as the commits before are seen.
    Committed,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_rerun_ends_where_an_uninterrupted_run_ends() {
    let reference = world(300);
    assert!(process(&reference).wait().await.unwrap().success());
    assert_each_applied_once(&reference).await;
    let expected = reference.schema().await;

    let mut kills = 0;
    for point in [Point::Within, Point::Committed] {
        for mode in ["DELETE", "WAL"] {
            for after in 0..6 {
                let world = world(5000);
                world.run(&format!("PRAGMA journal_mode = {mode}")).await;
                kill(&world, after, point).await;
                kills += 1;
                // Readable before anything else touches it, with whole migrations only.
                let state = world.migrations().state().await.unwrap();
                assert!(state.applied.len() < MIGRATIONS, "it was done before {point:?} {mode} {after}");
                let whole: Vec<_> = (1..=state.applied.len()).map(|version| version.to_string()).collect();
                assert_eq!(state.applied, whole, "{point:?} {mode} {after}");
                let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 't_'";
                assert_eq!(world.ask(tables).await, [whole.len().to_string()], "{point:?} {mode} {after}");

                assert!(process(&world).wait().await.unwrap().success());
                assert_each_applied_once(&world).await;
                assert_eq!(world.schema().await, expected, "{point:?} {mode} {after}");
            }
        }
    }
    assert_eq!(kills, 24);
}

/// Starts a process and kills it when `after` migrations stand and it is at `point`.
async fn kill(world: &World, after: usize, point: Point) {
    let mut watcher = world.connect().await;
    let mut process = process(world);
    let mut alive = || assert!(process.try_wait().unwrap().is_none(), "it ended before {point:?} {after}");
    loop {
        let count = sqlx::query_scalar("SELECT count(*) FROM _flow_migrations");
        let applied: i64 = count.fetch_one(&mut watcher).await.unwrap_or(0);
        if usize::try_from(applied).unwrap() >= after {
            break;
        }
        alive();
        tokio::task::yield_now().await;
    }
    let log = written(world, "app.db-wal");
    while point == Point::Within && written(world, "app.db-journal").is_none() {
        if written(world, "app.db-wal") != log {
            break;
        }
        alive();
        tokio::task::yield_now().await;
    }
    process.start_kill().unwrap();
    let status = process.wait().await.unwrap();
    assert_eq!(status.signal(), Some(9), "it ended before {point:?} {after}");
    watcher.close().await.unwrap();
}

/// What can be seen of a file of SQLite's beside the database while a transaction writes.
fn written(world: &World, name: &str) -> Option<(u64, SystemTime)> {
    let found = std::fs::metadata(world.root().join(name)).ok()?;
    (found.len() > 0).then(|| (found.len(), found.modified().unwrap()))
}
