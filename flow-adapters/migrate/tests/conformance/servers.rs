//! Servers as they are met: read-only, of another version, in another time zone, with a full disk, and with a ledger that somebody
//! changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use flow_core::ErrorKind;
use flow_core::port::Migrator as _;
use flow_migrate::{BackupSettings, Goal, Retreat, SqlConfig, SqlMigrations, Standing};
use flow_proving::Directory;
use flow_proving::server::{Postgres, PostgresVersion};

use crate::stage::{ENGINES, Engine, Stage, badly, key, well};
use crate::world::fact;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_replica_is_denied_by_name_and_can_be_read() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let mut stage = Stage::alone(engine).await;
        stage.script("1_a", "CREATE TABLE a (x INT)", None);
        well(stage.up().await);
        stage.script("2_b", "CREATE TABLE b (x INT)", None);
        if engine == Engine::Postgres {
            std::fs::write(stage.postgres().socket_folder().join("data/standby.signal"), "").unwrap();
            stage.lose_power().await;
            assert_eq!(stage.ask("SELECT pg_is_in_recovery()").await, ["t"]);
        } else {
            stage.ask("SET GLOBAL read_only = 1").await;
        }
        for course in [stage.up().await, stage.down(Retreat::All).await] {
            let error = badly(course);
            assert_eq!(error.kind(), ErrorKind::Denied, "{engine:?} {error}");
            assert!(error.message().contains("read-only"), "{error}");
        }
        let status = stage.migrations().status().await.unwrap();
        let standing: Vec<_> = status.iter().map(|one| one.standing).collect();
        assert_eq!(standing, [Standing::Applied, Standing::Pending], "{engine:?}");
        assert_eq!(stage.tables().await, ["a"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_18_goes_up_and_down_and_is_backed_up_and_drilled_by_its_own_tools() {
    let version = PostgresVersion::Eighteen;
    let server = Postgres::start(&Directory::new().unwrap(), version, &[]).await.unwrap();
    let stage = Stage::of_postgres(server);
    stage
        .script("1_t", "CREATE TABLE t (x INT); INSERT INTO t VALUES (1), (2)", Some("DROP TABLE t"))
        .script(
            "2_i",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (x);\nCREATE INDEX CONCURRENTLY j ON t (x)",
            Some("DROP INDEX CONCURRENTLY i; DROP INDEX CONCURRENTLY j"),
        );
    let tools = vec![version.tools().unwrap()];
    let backup = BackupSettings { tools, ..BackupSettings::default() };
    let migrations = SqlMigrations::new(SqlConfig { backup, ..stage.config() }).unwrap();
    let (product, number) = migrations.server().await.unwrap();
    assert!(product == "postgres" && number.starts_with("18"), "{product} {number}");
    for _ in 0..2 {
        assert_eq!(well(migrations.up(&key("up"), &Goal::Latest).await), ["1", "2"]);
        let status = migrations.status().await.unwrap();
        assert!(status.iter().all(|one| one.standing == Standing::Applied), "{status:?}");
        assert_eq!(
            stage.ask("SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid").await,
            ["2"]
        );
        let proof = migrations.back_up(&key("backup")).await.unwrap();
        assert!(proof.tables.iter().any(|(name, rows, _)| name == "public.t" && *rows == 2), "{proof:?}");
        stage.ask("INSERT INTO t VALUES (3)").await;
        migrations.drill(&proof, &[]).await.unwrap();
        assert_eq!(well(migrations.down(&key("down"), &Retreat::All).await), ["2", "1"]);
        assert_eq!(stage.tables().await, Vec::<String>::new());
    }
    // The older tools are refused before anything is written.
    let older = stage.migrations().back_up(&key("older")).await.unwrap_err();
    assert_eq!(older.kind(), ErrorKind::Conflict, "{older}");
    assert!(fact(&older, "server_version").starts_with("18"), "{older}");
}

/// What a script makes of dates and of the rows that it finds, in the zone of the database.
const BEFORE: &str =
    "CREATE TABLE t (a TIMESTAMP, b DATE); INSERT INTO t VALUES ('2024-07-01 12:00', '01/02/2024')";
const DATES: &str = "ALTER TABLE t ALTER COLUMN a TYPE TIMESTAMPTZ;
    CREATE TABLE now_there (x INTERVAL); INSERT INTO now_there VALUES (now()::timestamp - (now() AT TIME ZONE 'UTC'))";

#[tokio::test(flavor = "multi_thread")]
async fn dates_mean_what_they_mean_to_the_plain_client() {
    let shown = "SELECT extract(epoch FROM a)::bigint, to_char(b, 'YYYY-MM-DD'), (SELECT extract(epoch FROM x)::int FROM now_there) FROM t";
    for by_user in [false, true] {
        let (plain, stage) = (Stage::alone(Engine::Postgres).await, Stage::alone(Engine::Postgres).await);
        for one in [&plain, &stage] {
            let all = format!("ALTER DATABASE {} SET", one.name());
            one.ask(&format!("{all} timezone = 'Asia/Shanghai'; {all} datestyle = 'ISO, DMY'")).await;
            if by_user {
                one.ask("ALTER ROLE app SET timezone = 'Asia/Tokyo'; ALTER ROLE postgres SET timezone = 'Asia/Tokyo'").await;
            }
        }
        plain.ask(BEFORE).await;
        plain.ask(DATES).await;
        stage.script("1_t", BEFORE, None);
        well(stage.up().await);
        stage.script("2_dates", DATES, None);
        // The rehearsal's copy has the zone too: the table is written anew, as on the server.
        let plans = stage.migrations().rehearse(&flow_core::CancelToken::new()).await.unwrap();
        let rewrites = plans.iter().filter_map(|plan| plan.measured.as_ref()).map(|one| one.rewrites.len());
        assert_eq!(rewrites.sum::<usize>(), 1);
        well(stage.up().await);
        let expected = plain.ask(shown).await;
        let hours = if by_user { 9 } else { 8 };
        assert_eq!(expected, [format!("{}|2024-02-01|{}", 1_719_835_200 - hours * 3600, hours * 3600)]);
        assert_eq!(stage.ask(shown).await, expected, "{by_user}");
    }
}

/// A small file system; who is not root cannot make one.
struct Disk(PathBuf);

impl Disk {
    fn mounted_at(path: &Path) -> Self {
        let options = "size=3m,mode=700,uid=65534,gid=65534";
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "flow-test"]).arg(path).status();
        assert!(mounted.unwrap().success(), "only root can make the small disk that this test needs");
        Self(path.to_owned())
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server may still hold files of it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_named_with_the_statement_and_takes_nothing_with_it() {
    let directory = Directory::new().unwrap();
    let place = directory.path().join("small");
    std::fs::create_dir(&place).unwrap();
    let disk = Disk::mounted_at(&place);
    let stage = Stage::alone(Engine::Postgres).await;
    stage.ask(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display())).await;
    stage.ask("GRANT CREATE ON TABLESPACE small TO app").await;
    stage
        .script("1_t", "CREATE TABLE t (x TEXT) TABLESPACE small; INSERT INTO t VALUES ('kept')", None)
        .script(
            "2_rows",
            "CREATE TABLE u (x INT);\nINSERT INTO t SELECT md5(i::text) FROM generate_series(1, 100000) AS i",
            None,
        );
    let error = badly(stage.up().await);
    assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the server's disk is full"), "{error}");
    let named = ["code", "version", "statement", "line"].map(|name| fact(&error, name));
    assert_eq!(named, ["53100", "2", "2", "2"]);
    assert_eq!(stage.applied().await, ["1"]);
    assert_eq!(
        (stage.tables().await, stage.ask("SELECT x FROM t").await),
        (vec!["t".to_owned()], vec!["kept".to_owned()])
    );
    disk.grow();
    assert_eq!(well(stage.up().await), ["2"]);
    assert_eq!(stage.ask("SELECT count(*) FROM t").await, ["100001"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_may_lock_tables_as_dumps_do_and_the_ledger_is_written_beside() {
    let stage = Stage::new(Engine::Mariadb).await;
    let dump = |last: &str| {
        format!(
            "CREATE TABLE a (x INT);\nLOCK TABLES a WRITE;\nALTER TABLE a DISABLE KEYS;\nINSERT INTO a VALUES (1), (2);
ALTER TABLE a ADD COLUMN y INT;\nALTER TABLE a ENABLE KEYS;\nLOCK TABLES a READ;\n{last}"
        )
    };
    stage.script(
        "1_a",
        &dump("ALTER TABLE nowhere ADD COLUMN y INT"),
        Some("LOCK TABLES a WRITE; DROP TABLE a"),
    );
    let error = badly(stage.up().await);
    assert_eq!(
        ["statement", "stands"].map(|name| fact(&error, name)),
        ["8", "statements 1 to 7 of 8"],
        "{error}"
    );
    stage.script("1_a", &dump("UNLOCK TABLES"), Some("LOCK TABLES a WRITE; DROP TABLE a"));
    stage.script(
        "2_b",
        "CREATE TABLE b (x INT); INSERT INTO b SELECT x FROM a; LOCK TABLES b READ",
        Some("DROP TABLE b"),
    );
    stage.script("3_c", "CREATE TABLE c (x INT)", Some("DROP TABLE c"));
    assert_eq!(well(stage.up().await), ["1", "2", "3"]);
    assert_eq!(stage.applied().await, ["1", "2", "3"]);
    assert_eq!(stage.ask("SELECT x, y FROM a ORDER BY x").await, ["1|NULL", "2|NULL"]);
    assert_eq!(stage.ask("SELECT x FROM b ORDER BY x").await, ["1", "2"]);
    assert_eq!(well(stage.down(Retreat::All).await), ["3", "2", "1"]);
    assert_eq!(stage.tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_changed_by_hand_is_a_conflict_and_nothing_is_touched() {
    for engine in ENGINES {
        for change in [
            "UPDATE _flow_migrations SET state = 'fine'",
            "UPDATE _flow_migrations SET up_hash = 'abc'",
            "UPDATE _flow_migrations SET version = 'first'",
            "UPDATE _flow_migrations SET down_mode = 'x'",
            "UPDATE _flow_migrations SET state = 'applying', begun = 1, begun_hash = 'x', begun_by = 'y'",
            "ALTER TABLE _flow_migrations DROP COLUMN begun_by",
        ] {
            let stage = Stage::new(engine).await;
            stage.script("1_a", "CREATE TABLE a (x INT)", Some("DROP TABLE a"));
            well(stage.up().await);
            stage.script("2_b", "CREATE TABLE b (x INT)", Some("DROP TABLE b"));
            stage.ask(change).await;
            for course in [stage.up().await, stage.down(Retreat::All).await] {
                let error = badly(course);
                assert_eq!(error.kind(), ErrorKind::Conflict, "{engine:?} {change}: {error}");
            }
            assert_eq!(
                stage.migrations().status().await.unwrap_err().kind(),
                ErrorKind::Conflict,
                "{engine:?} {change}"
            );
            assert_eq!(stage.tables().await, ["a"], "{engine:?} {change}");
        }
        // What is gone from it is not known to be there: the server says so, and nothing is applied over it.
        let stage = Stage::new(engine).await;
        stage.script("1_a", "CREATE TABLE a (x INT)", Some("DROP TABLE a"));
        well(stage.up().await);
        stage.ask("INSERT INTO a VALUES (1)").await;
        stage.ask("DELETE FROM _flow_migrations").await;
        stage.ask("DELETE FROM _sqlx_migrations").await;
        let error = badly(stage.up().await);
        assert_eq!((error.kind(), fact(&error, "version")), (ErrorKind::Failed, "1"), "{engine:?} {error}");
        assert_eq!(stage.ask("SELECT x FROM a").await, ["1"]);
    }
}
