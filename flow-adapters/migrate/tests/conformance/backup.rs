use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow_core::port::Migrator as _;
use flow_core::{Digest, ErrorKind, Fence};
use flow_migrate::{BackupSettings, Pruned, Retention, SqlConfig, SqlMigrations, Target};
use flow_testkit::{permit, permit_under};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::world::{World, ask, connect, fact, sha256};

const DATA: &str = "CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance, note TEXT);
    INSERT INTO accounts VALUES(1, 100, 'a'), (2, 2.5, CAST(x'ff00fe' AS TEXT)), (3, NULL, 'nul' || char(0) || 'x');
    CREATE TABLE keyed(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
    INSERT INTO keyed VALUES('a', x'00'), ('b', x'');
    CREATE TABLE made(a INT, b INT GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO made(a) VALUES(1), (1);
    CREATE TABLE \"a \"\"b\" (x REAL); INSERT INTO \"a \"\"b\" VALUES(-0.0), (9e999), (-9e999);
    CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO counted DEFAULT VALUES;
    CREATE VIRTUAL TABLE words USING fts5(w); INSERT INTO words VALUES('hello world');
    CREATE TABLE empty(a); CREATE VIEW seen AS SELECT id FROM accounts; CREATE INDEX balances ON accounts(balance);";

#[tokio::test]
async fn a_backup_is_private_named_by_its_digest_and_holds_every_row() {
    let world = World::new();
    world.run(DATA).await;
    let before = world.bytes();
    let proof = world.migrations().back_up(&permit()).await.unwrap();
    assert_eq!(world.bytes(), before);
    let path = &proof.backup.path;
    assert_eq!(sha256(path), proof.backup.digest.hex());
    assert_eq!(path, &world.backups().join(format!("{}.sqlite", proof.backup.digest.hex())));
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(world.backups()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(world.backup_files().len(), 1);

    let rows: Vec<_> = proof.tables.iter().map(|(name, rows, _)| (name.as_str(), *rows)).collect();
    for expected in
        [("accounts", 3), ("keyed", 2), ("made", 2), ("a \"b", 3), ("sqlite_sequence", 1), ("empty", 0)]
    {
        assert!(rows.contains(&expected), "{expected:?} not in {rows:?}");
    }
    let dump = "SELECT hex(note) || quote(balance) FROM accounts";
    assert_eq!(ask(path, dump).await, world.ask(dump).await);
    assert_eq!(ask(path, "SELECT w FROM words WHERE words MATCH 'hello'").await, ["hello world"]);
    world.migrations().drill(&proof, &[]).await.unwrap();
}

#[tokio::test]
async fn the_same_database_gives_the_same_backup_again() {
    let world = World::new();
    world.run(DATA).await;
    let first = world.migrations().back_up(&permit()).await.unwrap();
    assert_eq!(world.migrations().back_up(&permit()).await.unwrap(), first);
    assert_eq!(world.backup_files().len(), 1);
    world.run("INSERT INTO empty VALUES(1)").await;
    let other = world.migrations().back_up(&permit_under("later", Fence(2), 1)).await.unwrap();
    assert_ne!(other.backup.digest, first.backup.digest);
    world.migrations().drill(&first, &[]).await.unwrap();
}

#[tokio::test]
async fn one_flipped_value_in_a_kept_backup_is_found_with_its_table() {
    let world = World::new();
    world.run(DATA).await;
    for (flip, table) in [
        ("UPDATE accounts SET balance = 101 WHERE id = 1", "accounts"),
        ("UPDATE accounts SET balance = '100' WHERE id = 1", "accounts"),
        ("UPDATE accounts SET note = 'nul' || char(0) || 'y' WHERE id = 3", "accounts"),
        ("UPDATE \"a \"\"b\" SET x = -x WHERE x > 1e300", "a \"b"),
        ("UPDATE keyed SET v = NULL WHERE k = 'b'", "keyed"),
        ("DELETE FROM made WHERE rowid = 2", "made"),
        ("DROP TABLE empty", "empty"),
        ("CREATE TABLE extra(a)", "extra"),
    ] {
        let mut proof = world.migrations().back_up(&permit()).await.unwrap();
        let mut copy = connect(&proof.backup.path).await;
        copy.execute(sqlx::raw_sql(AssertSqlSafe(flip))).await.unwrap();
        copy.close().await.unwrap();
        let error = world.migrations().drill(&proof, &[]).await.unwrap_err();
        assert_eq!(error.message(), "the backup's bytes are not the ones that were proved");
        // Whoever could change the proof as well.
        proof.backup.digest = Digest::of(&std::fs::read(&proof.backup.path).unwrap());
        let error = world.migrations().drill(&proof, &[]).await.unwrap_err();
        assert_eq!((error.kind(), fact(&error, "tables")), (ErrorKind::Failed, table), "{flip}");
        std::fs::remove_file(&proof.backup.path).unwrap();
        assert_eq!(world.migrations().drill(&proof, &[]).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_live_writes_the_backup_is_one_moment_and_the_writer_gets_on() {
    for mode in ["DELETE", "WAL"] {
        let world = Arc::new(World::new());
        let start = "CREATE TABLE a(v); CREATE TABLE b(v);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
            INSERT INTO a SELECT i FROM n; INSERT INTO b SELECT v FROM a";
        world.run(&format!("PRAGMA journal_mode = {mode}; {start}")).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (writing, until) = (Arc::clone(&world), Arc::clone(&stop));
        let writer = tokio::spawn(async move {
            let mut connection = writing.connect().await;
            // A pace: SQLite's waiting for locks is not fair, and a writer without pauses keeps all others out.
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !until.load(Ordering::Relaxed) {
                connection
                    .execute("BEGIN IMMEDIATE; INSERT INTO a VALUES(0); INSERT INTO b VALUES(0); COMMIT")
                    .await
                    .unwrap();
                pace.tick().await;
            }
            connection.close().await.unwrap();
        });
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let proof = world.migrations().back_up(&permit()).await.unwrap();
            let rows: Vec<_> = proof.tables.iter().map(|(_, rows, _)| *rows).collect();
            assert_eq!(rows[0], rows[1], "a transaction was cut in two");
            if seen.last() != Some(&rows[0]) {
                seen.push(rows[0]);
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.await.unwrap();
        assert!(seen.is_sorted(), "{seen:?}");
    }
}

#[tokio::test]
async fn copies_that_a_dead_process_left_behind_are_swept_away_and_backups_are_not() {
    let world = World::new();
    world.run(DATA).await;
    let proof = world.migrations().back_up(&permit()).await.unwrap();
    for left in [".flow-scratch-1-0", ".flow-scratch-1-0-journal"] {
        std::fs::write(world.backups().join(left), b"production data").unwrap();
    }
    world.migrations().drill(&proof, &[]).await.unwrap();
    assert_eq!(world.backup_files(), [format!("{}.sqlite", proof.backup.digest.hex())]);
}

#[tokio::test]
async fn old_backups_are_removed_but_never_the_newest_nor_one_without_its_proof() {
    let world = World::new();
    world.run(DATA).await;
    let keeping = |count, age| {
        let retention = Retention { count: NonZeroUsize::new(count).unwrap(), age };
        let backup = BackupSettings { retention, ..BackupSettings::default() };
        SqlMigrations::new(SqlConfig { backup, ..world.config() }).unwrap()
    };
    let mut made = Vec::new();
    for _ in 0..4 {
        world.run("INSERT INTO empty VALUES(1)").await;
        made.push(keeping(9, None).back_up(&permit()).await.unwrap().backup.path);
    }
    let proof = |path: &Path| PathBuf::from(format!("{}.proof.json", path.display()));
    let standing = || made.iter().map(|path| (path.exists(), proof(path).exists())).collect::<Vec<_>>();
    assert_eq!(keeping(9, None).prune().await.unwrap(), Pruned::default());
    std::fs::remove_file(proof(&made[0])).unwrap();
    let pruned = keeping(2, None).prune().await.unwrap();
    assert_eq!((pruned.removed, pruned.unproved), (vec![made[1].clone()], vec![made[0].clone()]));
    assert_eq!(standing(), [(true, false), (false, false), (true, true), (true, true)]);
    let pruned = keeping(9, Some(Duration::ZERO)).prune().await.unwrap();
    assert_eq!(pruned.removed, [made[2].clone()]);
    assert_eq!(standing(), [(true, false), (false, false), (false, false), (true, true)]);
    // Another database's are not this one's to remove.
    let other = SqlConfig { target: Target::sqlite(world.root().join("other.db")), ..world.config() };
    let backup = BackupSettings {
        retention: Retention { count: NonZeroUsize::MIN, age: None },
        ..BackupSettings::default()
    };
    std::fs::write(world.root().join("other.db"), b"").unwrap();
    let other = SqlMigrations::new(SqlConfig { backup, ..other }).unwrap();
    other.back_up(&permit()).await.unwrap();
    assert!(other.prune().await.unwrap().removed.is_empty());
    assert_eq!(standing()[3], (true, true));
}

#[tokio::test]
async fn a_directory_for_backups_that_cannot_be_made_is_a_rejection() {
    let world = World::new();
    std::fs::write(world.backups(), b"a file").unwrap();
    let error = world.migrations().back_up(&permit()).await.unwrap_err();
    assert!(error.kind().is_rejection());
}
