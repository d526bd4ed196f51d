//! What other tools were seen to do, which is safe here.

use std::time::Duration;

use flow_core::ErrorKind;
use flow_core::port::Migrator as _;
use flow_migrate::{Goal, Retreat, SqlConfig, SqlMigrations, Standing, Target};
use flow_proving::Directory;
use flow_proving::server::{PgBouncer, PoolMode};
use flow_proving::until;
use tokio::io::AsyncWriteExt as _;

use crate::stage::{ENGINES, Engine, Stage, badly, key, well};
use crate::world::fact;

const TWO_CONCURRENTLY: &str = "-- no-transaction
CREATE INDEX CONCURRENTLY i ON t (x);
CREATE INDEX CONCURRENTLY j ON t (y);";

async fn indexed() -> Stage {
    let stage = Stage::new(Engine::Postgres).await;
    stage
        .script(
            "1_t",
            "CREATE TABLE t (x INT, y INT); INSERT INTO t VALUES (1, 1), (2, 1)",
            Some("DROP TABLE t"),
        )
        .script("2_i", TWO_CONCURRENTLY, Some("DROP INDEX CONCURRENTLY i; DROP INDEX CONCURRENTLY j"));
    stage
}

const VALID: &str = "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relname IN ('i', 'j') ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_built_concurrently_while_other_migrators_wait() {
    let stage = indexed().await;
    let all: Vec<_> = (0..6).map(|_| stage.process()).collect();
    for mut process in all {
        assert!(process.wait().await.unwrap().success());
    }
    assert_eq!(stage.ask(VALID).await, ["i|t", "j|t"]);
    assert_eq!(well(stage.down(Retreat::Steps(1)).await), ["2"]);
    assert_eq!(stage.ask(VALID).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_concurrent_index_leaves_none_and_an_invalid_one_is_not_kept() {
    let stage = indexed().await;
    well(stage.migrations().up(&key("one"), &Goal::To("1".to_owned())).await);
    stage.script("2_i", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (y)", None);
    let error = badly(stage.up().await);
    assert_eq!((error.kind(), fact(&error, "code")), (ErrorKind::Failed, "23505"), "{error}");
    assert_eq!(stage.ask(VALID).await, Vec::<String>::new(), "the invalid index was left");
    assert_eq!(stage.applied().await, ["1"]);
    // Another tool leaves it.
    let mut client = stage.client();
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"CREATE UNIQUE INDEX CONCURRENTLY i ON t (y);\n").await.unwrap();
    drop(input);
    assert!(!client.wait().await.unwrap().success());
    assert_eq!(stage.ask(VALID).await, ["i|f"]);
    stage.ask("UPDATE t SET y = x").await;
    well(stage.up().await);
    assert_eq!(stage.ask(VALID).await, ["i|t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_between_an_index_and_its_record_is_gone_on_from() {
    let stage = indexed().await;
    well(stage.migrations().up(&key("one"), &Goal::To("1".to_owned())).await);
    // An old snapshot keeps the index from becoming valid.
    let mut holder = stage.client();
    let input = holder.stdin.as_mut().unwrap();
    input.write_all(b"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t;\n").await.unwrap();
    let migrations = stage.migrations();
    let running = tokio::spawn(async move { migrations.up(&key("up"), &Goal::Latest).await });
    let waits = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY i%' AND wait_event_type = 'Lock'
        AND datname = current_database()";
    until("the index waits", || async { Ok((!stage.ask(waits).await.is_empty()).then_some(())) })
        .await
        .unwrap();
    // The session with the lock and the record goes; the index is finished by itself.
    let lock =
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(stage.ask(lock).await, ["t"]);
    holder.stdin.take();
    holder.wait().await.unwrap();
    let error = badly(running.await.unwrap());
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!(well(stage.up().await), ["2"]);
    assert_eq!(stage.ask(VALID).await, ["i|t", "j|t"]);
    assert_eq!(stage.applied().await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_has_applied_in_part_is_named_mended_and_gone_on_from() {
    let stage = Stage::new(Engine::Mariadb).await;
    let up = |last: &str| {
        format!("CREATE TABLE a (x INT);\nCREATE TABLE b (x INT);\nINSERT INTO a VALUES (1);\n{last}")
    };
    stage.script("1_m", &up("ALTER TABLE nowhere ADD COLUMN y INT"), Some("DROP TABLE b; DROP TABLE a"));
    for _ in 0..2 {
        let error = badly(stage.up().await);
        let named = ["statement", "line", "code", "stands"].map(|name| fact(&error, name));
        assert_eq!(named, ["4", "4", "1146", "statements 1 to 3 of 4"]);
        assert!(!error.kind().is_rejection());
        assert_eq!(stage.tables().await, ["a", "b"]);
    }
    // What stands may not be edited, what does not may.
    let edited = up("SELECT 1").replace("b (x INT)", "b (y INT)");
    stage.script("1_m", &edited, Some("DROP TABLE b; DROP TABLE a"));
    assert_eq!(badly(stage.up().await).kind(), ErrorKind::Conflict);
    stage.script("1_m", &up("ALTER TABLE a ADD COLUMN y INT"), Some("DROP TABLE b; DROP TABLE a"));
    assert_eq!(well(stage.up().await), ["1"]);
    assert_eq!(stage.ask("SELECT x, y FROM a").await, ["1|NULL"]);
    assert_eq!(stage.ask("SELECT success FROM _sqlx_migrations").await, ["1"]);
    assert_eq!(well(stage.down(Retreat::All).await), ["1"]);
    assert_eq!(stage.tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_has_applied_in_part_is_taken_back() {
    let stage = Stage::new(Engine::Mariadb).await;
    stage.script(
        "1_m",
        "CREATE TABLE a (x INT); CREATE TABLE b (x INT); SELECT nonsense(); CREATE TABLE c (x INT)",
        Some("DROP TABLE c; DROP TABLE b; DROP TABLE a"),
    );
    badly(stage.up().await);
    assert_eq!(
        stage.ask("SELECT success FROM _sqlx_migrations").await,
        ["0"],
        "an application of sqlx refuses it"
    );
    assert_eq!(well(stage.down(Retreat::All).await), ["1"]);
    assert_eq!(stage.tables().await, Vec::<String>::new());
    assert_eq!(stage.ask("SELECT version FROM _flow_migrations").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrator_killed_in_mid_statement_is_waited_for_and_gone_on_from() {
    let stage = Stage::new(Engine::Mariadb).await;
    stage.script("1_a", "CREATE TABLE a (x INT); INSERT INTO a VALUES (1)", None).script(
        "2_b",
        "CREATE TABLE b (x INT); ALTER TABLE a ADD COLUMN y INT; INSERT INTO b VALUES (2)",
        None,
    );
    well(stage.migrations().up(&key("one"), &Goal::To("1".to_owned())).await);
    // A reader keeps the table from being altered.
    let mut holder = stage.client();
    let input = holder.stdin.as_mut().unwrap();
    input.write_all(b"BEGIN; SELECT * FROM a;\n").await.unwrap();
    let mut process = stage.process();
    let waits =
        "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock%'
        AND db = DATABASE()";
    until("the table waits", || async { Ok((!stage.ask(waits).await.is_empty()).then_some(())) })
        .await
        .unwrap();
    process.start_kill().unwrap();
    process.wait().await.unwrap();
    // Its statement is still there, and takes effect once the reader goes.
    assert_eq!(stage.ask(waits).await, ["1"]);
    let migrations = stage.migrations();
    let again = tokio::spawn(async move { migrations.up(&key("up"), &Goal::Latest).await });
    until("the next migrator holds the lock", || async { Ok(stage.held().await.then_some(())) })
        .await
        .unwrap();
    holder.stdin.take();
    holder.wait().await.unwrap();
    assert_eq!(well(again.await.unwrap()), ["2"]);
    assert_eq!(stage.ask("SELECT x, y FROM a").await, ["1|NULL"]);
    assert_eq!(stage.ask("SELECT x FROM b").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_gives_sessions_to_transactions_is_refused() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.script("1_a", "CREATE TABLE a (x INT)", None);
    for (mode, refused) in
        [(PoolMode::Transaction, true), (PoolMode::Statement, true), (PoolMode::Session, false)]
    {
        let directory = Directory::new().unwrap();
        let pooler = PgBouncer::start(&directory, stage.postgres(), mode).await.unwrap();
        let target = Target::parse(&pooler.url("app", stage.name())).unwrap();
        let config = SqlConfig::new(target, stage.scripts(), directory.path(), flow_core::name!("db"));
        let course = SqlMigrations::new(config).unwrap().up(&key("up"), &Goal::Latest).await;
        if refused {
            assert_eq!(badly(course).kind(), ErrorKind::Denied, "{mode:?}");
            assert_eq!(stage.tables().await, Vec::<String>::new());
        } else {
            well(course);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_allow_is_denied_and_changes_nothing() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.script("1_a", "CREATE TABLE a (x INT)", None);
    let ask = |sql: String| stage.postgres().sql("postgres", &sql).unwrap();
    ask(format!("ALTER DATABASE {} SET default_transaction_read_only = on", stage.name()));
    assert_eq!(badly(stage.up().await).kind(), ErrorKind::Denied);
    ask(format!("ALTER DATABASE {} RESET default_transaction_read_only", stage.name()));
    ask(format!("ALTER DATABASE {} OWNER TO postgres", stage.name()));
    let error = badly(stage.up().await);
    assert_eq!((error.kind(), fact(&error, "code")), (ErrorKind::Denied, "42501"));
    let nowhere = stage.url().replace(stage.name(), "nowhere");
    for (url, kind) in [
        (nowhere, ErrorKind::NotFound),
        (stage.url().replace("secret", "wrong"), ErrorKind::Denied),
        ("postgres://app@127.0.0.1:1/x".to_owned(), ErrorKind::Unavailable),
    ] {
        let config = SqlConfig::new(
            Target::parse(&url).unwrap(),
            stage.scripts(),
            stage.scripts(),
            flow_core::name!("db"),
        );
        let error = badly(SqlMigrations::new(config).unwrap().up(&key("up"), &Goal::Latest).await);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?}").contains("proving-"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_may_do_what_it_likes_to_its_session() {
    let stage = Stage::new(Engine::Postgres).await;
    stage
        .script(
            "1_a",
            "CREATE TABLE schema_migrations (x INT); SELECT set_config('search_path', '', false)",
            None,
        )
        .script("2_b", "DROP TABLE schema_migrations; SET search_path = elsewhere", None)
        .script(
            "3_c",
            "CREATE TABLE c (x TEXT DEFAULT '\\'); CREATE TEMP TABLE gone (x INT); SET ROLE pg_monitor",
            None,
        )
        .script("4_d", "INSERT INTO gone VALUES (1)", None);
    stage.postgres().sql("postgres", "GRANT pg_monitor TO app").unwrap();
    let error = badly(stage.up().await);
    assert_eq!((fact(&error, "version"), fact(&error, "code")), ("4", "42P01"), "{error}");
    assert_eq!(stage.applied().await, ["1", "2", "3"]);
    assert_eq!(stage.tables().await, ["c"]);

    let stage = Stage::new(Engine::Mariadb).await;
    stage
        .script("1_a", "SET FOREIGN_KEY_CHECKS = 0; SET autocommit = 0; INSERT INTO log VALUES (1)", None)
        .script(
            "2_b",
            "SET @x = 1; SET sql_mode = 'ANSI_QUOTES'; CREATE TABLE \"b\" (x INT); USE mysql",
            None,
        )
        .script("3_c", "INSERT INTO b SELECT @x", None);
    stage.ask("CREATE TABLE log (x INT)").await;
    well(stage.up().await);
    assert_eq!(stage.ask("SELECT x FROM log").await, ["1"]);
    assert_eq!(stage.ask("SELECT x FROM b").await, ["NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_locks_are_waited_for_briefly_and_asked_again() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.script("1_a", "CREATE TABLE a (x INT)", None).script(
        "2_b",
        "CREATE TABLE b (x INT); ALTER TABLE a ADD COLUMN y INT",
        None,
    );
    well(stage.migrations().up(&key("one"), &Goal::To("1".to_owned())).await);
    let mut holder = stage.client();
    let input = holder.stdin.as_mut().unwrap();
    input.write_all(b"BEGIN; SELECT * FROM a;\n").await.unwrap();
    let reads = "SELECT 1 FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'AccessShareLock'";
    until("the reader reads", || async { Ok((!stage.ask(reads).await.is_empty()).then_some(())) })
        .await
        .unwrap();
    let error = badly(stage.impatient().up(&key("up"), &Goal::Latest).await);
    assert_eq!((error.kind(), fact(&error, "code")), (ErrorKind::Unavailable, "55P03"), "{error}");
    assert_eq!(stage.tables().await, ["a"]);
    let migrations = stage.migrations();
    let patient = tokio::spawn(async move { migrations.up(&key("up"), &Goal::Latest).await });
    // Longer than one attempt waits.
    let given_up = "SELECT 1 FROM pg_stat_database WHERE datname = current_database() AND xact_rollback > 1";
    until("an attempt is given up", || async { Ok((!stage.ask(given_up).await.is_empty()).then_some(())) })
        .await
        .unwrap();
    holder.stdin.take();
    holder.wait().await.unwrap();
    assert_eq!(well(patient.await.unwrap()), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_transaction_is_named_before_a_migration_waits_for_it() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let stage = Stage::alone(engine).await;
        stage.ask("CREATE TABLE seen (x INT)").await;
        stage.script("1_a", "CREATE TABLE a (x INT)", None);
        let mut holder = stage.client();
        holder.stdin.as_mut().unwrap().write_all(b"BEGIN; SELECT * FROM seen;\n").await.unwrap();
        // MariaDB goes on showing the transactions that it showed less than 0.1 s ago: they are asked for once, when there is an old one.
        let idle = match engine {
            Engine::Postgres => "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'",
            _ => {
                "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep' AND TIME > 1 AND USER = 'root'"
            }
        };
        until("the transaction is old", || async { Ok((!stage.ask(idle).await.is_empty()).then_some(())) })
            .await
            .unwrap();
        // The server shows a superuser's transactions to few.
        let url = match engine {
            Engine::Postgres => stage.postgres().url("postgres", stage.name()),
            _ => stage.url().to_owned(),
        };
        let target = Target::parse(&url).unwrap();
        let config = SqlConfig::new(target, stage.scripts(), stage.scripts(), flow_core::name!("db"));
        let waits = flow_migrate::Waits { transactions: Duration::ZERO, ..flow_migrate::Waits::default() };
        let migrations = SqlMigrations::new(SqlConfig { waits, ..config }).unwrap();
        let error = badly(migrations.up(&key("up"), &Goal::Latest).await);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{engine:?} {error}");
        assert!(fact(&error, "transactions").contains("since"), "{engine:?} {error}");
        assert_eq!(stage.tables().await, ["seen"]);
        holder.stdin.take();
        holder.wait().await.unwrap();
        assert_eq!(well(stage.up().await), ["1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_no_mark_and_its_way_back_is_not_run() {
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let stage = Stage::new(engine).await;
        stage.ask_as_owner("CREATE TABLE backs (x INT)").await;
        let up = |last| format!("CREATE TABLE a (x INT); INSERT INTO a VALUES (1); {last}");
        let down = "INSERT INTO backs VALUES (1); DROP TABLE a";
        stage.script("1_a", &up("INSERT INTO nowhere VALUES (1)"), Some(down));
        assert!(badly(stage.up().await).kind().is_rejection());
        let status = stage.migrations().status().await.unwrap();
        assert_eq!(status[0].standing, Standing::Pending, "{engine:?}");
        assert_eq!(stage.tables().await, ["backs"]);
        assert_eq!(well(stage.down(Retreat::All).await), Vec::<String>::new());
        // Nothing has to be forced or repaired: the mended script goes up.
        stage.script("1_a", &up("INSERT INTO a VALUES (2)"), Some(down));
        assert_eq!(well(stage.up().await), ["1"]);
        assert_eq!(stage.ask("SELECT x FROM a ORDER BY x").await, ["1", "2"], "{engine:?}");
        assert_eq!(stage.ask("SELECT x FROM backs").await, Vec::<String>::new(), "{engine:?}");
    }
}

/// Something to be met at, for longer than any test waits.
fn slow(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "SELECT pg_sleep(60)",
        Engine::Mariadb => "SELECT SLEEP(60)",
        Engine::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_with_its_migrator_and_is_in_no_backup() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage.script("1_a", "CREATE TABLE a (x INT)", None);
        well(stage.up().await);
        stage.script("2_slow", slow(engine), None);
        let mut process = stage.process();
        until("the migrator holds the lock", || async { Ok(stage.held().await.then_some(())) })
            .await
            .unwrap();
        if engine != Engine::Sqlite {
            // A copy of what stands while another migrator is at work is nobody's.
            let copy = Stage::new(engine).await;
            copy.restore(&stage.migrations().back_up(&key("backup")).await.unwrap().backup.path).await;
            copy.script("1_a", "CREATE TABLE a (x INT)", None).script("3_b", "CREATE TABLE b (x INT)", None);
            assert_eq!(well(copy.impatient().up(&key("copy"), &Goal::Latest).await), ["3"], "{engine:?}");
        }
        process.start_kill().unwrap();
        process.wait().await.unwrap();
        std::fs::remove_file(stage.scripts().join("2_slow.up.sql")).unwrap();
        stage.script("3_b", "CREATE TABLE b (x INT)", None);
        until("the lock is free", || async { Ok((!stage.held().await).then_some(())) }).await.unwrap();
        assert_eq!(well(stage.impatient().up(&key("next"), &Goal::Latest).await), ["3"], "{engine:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_set_for_the_user_end_neither_the_wait_for_a_migrator_nor_a_migration() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let stage = Stage::alone(engine).await;
        let set = match engine {
            Engine::Postgres => [
                "ALTER ROLE app SET lock_timeout = '50ms'",
                "ALTER ROLE app SET statement_timeout = '50ms'",
                "ALTER ROLE app SET idle_session_timeout = '500ms'",
                "ALTER ROLE app SET idle_in_transaction_session_timeout = '50ms'",
            ],
            _ => [
                "SET GLOBAL lock_wait_timeout = 1",
                "SET GLOBAL max_statement_time = 0.05",
                "SET GLOBAL wait_timeout = 1",
                "SET GLOBAL idle_transaction_timeout = 1",
            ],
        };
        for set in set {
            stage.ask(set).await;
        }
        let sleep = if engine == Engine::Postgres { "SELECT pg_sleep(2)" } else { "SELECT SLEEP(2)" };
        stage.script("1_a", &format!("CREATE TABLE a (x INT); {sleep}"), None);
        let mut process = stage.process();
        until("the first holds the lock", || async { Ok(stage.held().await.then_some(())) }).await.unwrap();
        stage.script("2_b", "CREATE TABLE b (x INT)", None);
        let finished = well(stage.up().await);
        assert!(process.wait().await.unwrap().success(), "{engine:?}");
        assert!(finished.ends_with(&["2".to_owned()]), "{engine:?} {finished:?}");
        assert_eq!(stage.applied().await, ["1", "2"], "{engine:?}");
    }
}
