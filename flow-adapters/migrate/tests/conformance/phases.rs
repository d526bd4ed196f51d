//! Expand, contract, and rows that are filled in batch by batch.

use flow_core::port::Migrator as _;
use flow_core::{CancelToken, ErrorKind, Fence, Permit};
use flow_migrate::{Goal, Phase, Retreat, Standing};
use flow_proving::{is_long, until};

use crate::stage::{ENGINES, Engine, Stage, badly, key, well};
use crate::world::fact;

const FILL: &str = "-- flow: backfill t by id in 7\nUPDATE t SET n = n + 1 WHERE id > :from AND id <= :to";

/// A table with `rows` rows whose keys have gaps and begin below zero.
fn numbers(engine: Engine, rows: u32) -> String {
    let series = match engine {
        Engine::Postgres => format!("SELECT 3 * g - 30, 0 FROM generate_series(1, {rows}) AS g"),
        Engine::Mariadb => format!("SELECT 3 * CAST(seq AS SIGNED) - 30, 0 FROM seq_1_to_{rows}"),
        Engine::Sqlite => format!(
            "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {rows}) SELECT 3 * i - 30, 0 FROM g"
        ),
    };
    format!("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT); INSERT INTO t {series}")
}

async fn assert_each_once(stage: &Stage, rows: u32) {
    let counted = stage.ask("SELECT n, count(*) FROM t GROUP BY n").await;
    let expected = if stage.engine == Engine::Sqlite { "1".to_owned() } else { format!("1|{rows}") };
    assert_eq!(counted, [expected], "{:?}", stage.engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_any_key_is_filled_in_once() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        let text = "CREATE TABLE s (k VARCHAR(50) PRIMARY KEY, n INT); INSERT INTO s VALUES ('a''b', 0), ('c\\\\d', 0), (':to', 0), ('ü', 0), ('Z', 0)";
        stage
            .script("1_t", &numbers(engine, 100), None)
            .script("2_fill", FILL, Some("UPDATE t SET n = n - 1"))
            .script("3_s", text, None)
            .script(
                "4_fill",
                "-- flow: backfill s by k in 2\nUPDATE s SET n = n + 1 WHERE k > :from AND k <= :to",
                None,
            );
        let impact = stage.migrations().impact().await.unwrap();
        assert!(impact.iter().any(|one| one.version == "2"), "{engine:?} {impact:?}");
        assert_eq!(well(stage.up().await), ["1", "2", "3", "4"], "{engine:?}");
        assert_each_once(&stage, 100).await;
        assert_eq!(stage.ask("SELECT DISTINCT n FROM s").await, ["1"], "{engine:?}");
        let status = stage.migrations().status().await.unwrap();
        let filled = status[1].backfill.clone().unwrap();
        assert_eq!((filled.rows, filled.of, filled.last_key.as_deref()), (100, 100, Some("270")));
        assert_eq!(well(stage.up().await), Vec::<String>::new());
    }
    let stage = Stage::new(Engine::Postgres).await;
    let uuids = "CREATE TABLE t (id UUID PRIMARY KEY, n INT); INSERT INTO t SELECT gen_random_uuid(), 0 FROM generate_series(1, 50)";
    stage.script("1_t", uuids, None).script("2_fill", FILL, Some("UPDATE t SET n = n - 1"));
    well(stage.up().await);
    assert_each_once(&stage, 50).await;
    assert_eq!(well(stage.down(Retreat::Steps(1)).await), ["2"]);
    assert_eq!(well(stage.up().await), ["2"], "the record of the first time is gone");
    assert_each_once(&stage, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_batches_cannot_follow_is_named_and_nothing_is_changed() {
    for engine in ENGINES {
        for (create, key, message) in [
            ("CREATE TABLE t (id INT, n INT)", "id", "no unique index begins"),
            ("CREATE TABLE t (id INT, n INT, UNIQUE (n, id))", "id", "no unique index begins"),
            (
                "CREATE TABLE t (id INT UNIQUE, n INT); INSERT INTO t VALUES (1, 0), (NULL, 0)",
                "id",
                "it is null",
            ),
            ("CREATE TABLE t (id VARCHAR(9) UNIQUE, n INT); INSERT INTO t VALUES ('', 0)", "id", "the least"),
            ("CREATE TABLE t (id INT UNIQUE, n FLOAT UNIQUE)", "n", "neither an integer nor a text"),
            ("CREATE TABLE t (id INT UNIQUE, n INT)", "x", "is no column"),
        ] {
            let stage = Stage::new(engine).await;
            let fill = FILL.replace("by id", &format!("by {key}"));
            stage.script("1_t", create, None).script("2_fill", &fill, None);
            let error = badly(stage.up().await);
            assert!(error.message().contains(message), "{engine:?} {create}: {error}");
            assert_eq!((error.kind(), fact(&error, "version")), (ErrorKind::Conflict, "2"));
            assert_eq!(stage.applied().await, ["1"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_backfill_keeps_its_rows_and_goes_on_unless_its_script_was_edited() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        let slow = FILL.replace("in 7", "in 7 pausing 50 ms");
        stage.script("1_t", &numbers(engine, 700), None).script("2_fill", &slow, None);
        let cancel = CancelToken::new();
        let permit = Permit::for_tests("paused", Fence(1), 1, cancel.clone());
        let migrations = stage.migrations();
        let running = tokio::spawn(async move { migrations.up(&permit, &Goal::Latest).await });
        until("some batches are done", || async {
            // MariaDB refuses to read a table that was made since the snapshot.
            let Ok(status) = stage.migrations().status().await else { return Ok(None) };
            Ok(status[1].backfill.as_ref().is_some_and(|filled| filled.rows >= 14).then_some(()))
        })
        .await
        .unwrap();
        cancel.cancel();
        let error = badly(running.await.unwrap());
        assert!(fact(&error, "stands").contains("of 700 rows, up to the key"), "{error}");
        let status = stage.migrations().status().await.unwrap().remove(1);
        let filled = status.backfill.unwrap().rows;
        assert!(status.standing == Standing::Partial && (14..700).contains(&filled), "{filled}");
        assert_eq!(stage.ask("SELECT count(*) FROM t WHERE n = 1").await, [filled.to_string()], "{engine:?}");

        stage.script("2_fill", &slow.replace("n + 1", "n + 2"), None);
        let error = badly(stage.up().await);
        assert_eq!((error.kind(), fact(&error, "edited")), (ErrorKind::Conflict, "2"), "{engine:?}");
        stage.script("2_fill", &slow, None);
        assert_eq!(well(stage.up().await), ["2"]);
        assert_each_once(&stage, 700).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_killed_at_any_batch_changes_every_row_once() {
    let kills = if is_long() { 12 } else { 4 };
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage.script("1_t", &numbers(engine, 2000), None).script(
            "2_fill",
            &FILL.replace("in 7", "in 10 pausing 1 ms"),
            None,
        );
        well(stage.migrations().up(&key("table"), &Goal::To("1".to_owned())).await);
        for kill in 1..=kills {
            let mut process = stage.process();
            let target = kill * 1500 / kills;
            until("the batches come so far", || async {
                let Ok(status) = stage.migrations().status().await else { return Ok(None) };
                Ok(status[1].backfill.as_ref().is_some_and(|filled| filled.rows >= target).then_some(()))
            })
            .await
            .unwrap();
            process.start_kill().unwrap();
            assert!(!process.wait().await.unwrap().success(), "{engine:?}: it ended before kill {kill}");
        }
        assert_eq!(well(stage.up().await), ["2"], "{engine:?}");
        assert_each_once(&stage, 2000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_waits_for_expand_and_expand_goes_past_it() {
    for engine in ENGINES {
        let stage = Stage::new(engine).await;
        stage
            .script("1_t", "CREATE TABLE t (a INT, b INT)", Some("DROP TABLE t"))
            .script(
                "2_drop",
                "-- flow: contract\nALTER TABLE t DROP COLUMN b",
                Some("ALTER TABLE t ADD COLUMN b INT"),
            )
            .script("3_u", "CREATE TABLE u (x INT)", Some("DROP TABLE u"));
        let expand = stage.migrations().phase(Phase::Expand);
        let contract = stage.migrations().phase(Phase::Contract);
        let versions = |course| well(course);
        let error = badly(contract.up(&key("early"), &Goal::Latest).await);
        assert_eq!((error.kind(), fact(&error, "expand")), (ErrorKind::Conflict, "1"), "{engine:?}");
        assert_eq!(stage.tables().await, Vec::<String>::new());
        let impact = contract.impact().await.unwrap();
        assert!(impact.iter().all(|one| one.version == "2") && !impact.is_empty(), "{engine:?} {impact:?}");

        assert_eq!(versions(expand.up(&key("expand"), &Goal::Latest).await), ["1", "3"], "{engine:?}");
        let before = contract.state().await.unwrap();
        let pending: Vec<_> = before.pending.iter().map(|script| script.version.as_str()).collect();
        assert_eq!((before.applied.clone(), pending), (vec!["1".to_owned(), "3".to_owned()], vec!["2"]));
        assert_eq!(versions(contract.up(&key("contract"), &Goal::Latest).await), ["2"], "{engine:?}");
        contract.revert_to(&key("back"), &before.applied).await.unwrap();
        assert_eq!(stage.applied().await, ["1", "3"], "{engine:?}");
        assert_eq!(versions(stage.up().await), ["2"], "without phases, what waits is applied in its order");
    }
}

/// An old version that writes `name`, and a new one that writes `full_name`; triggers keep both the same.
const EXPAND: &str = "ALTER TABLE people ADD COLUMN full_name TEXT;
CREATE FUNCTION same_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.full_name := coalesce(NEW.full_name, NEW.name); NEW.name := coalesce(NEW.name, NEW.full_name);
    ELSIF NEW.full_name IS DISTINCT FROM OLD.full_name THEN NEW.name := NEW.full_name;
    ELSE NEW.full_name := NEW.name; END IF;
    RETURN NEW; END $$;
CREATE TRIGGER same_name BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION same_name()";

#[tokio::test(flavor = "multi_thread")]
async fn taken_back_before_contract_every_row_of_either_version_is_in_the_old_columns() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.script(
        "1_people",
        "CREATE TABLE people (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name TEXT)",
        Some("DROP TABLE people"),
    );
    well(stage.up().await);
    stage.ask("INSERT INTO people (name) SELECT 'old ' || g FROM generate_series(1, 50) AS g").await;
    stage
        .script(
            "2_full_name",
            EXPAND,
            Some("DROP TRIGGER same_name ON people; DROP FUNCTION same_name; ALTER TABLE people DROP COLUMN full_name"),
        )
        .script(
            "3_fill",
            "-- flow: backfill people by id in 10\nUPDATE people SET full_name = name WHERE id > :from AND id <= :to AND full_name IS NULL",
            Some("SELECT 1"),
        )
        .script(
            "4_drop_name",
            "-- flow: contract\nDROP TRIGGER same_name ON people; DROP FUNCTION same_name; ALTER TABLE people DROP COLUMN name",
            None,
        );
    let expand = stage.migrations().phase(Phase::Expand);
    let before = expand.state().await.unwrap();
    assert_eq!(well(expand.up(&key("expand"), &Goal::Latest).await), ["2", "3"]);
    assert_eq!(stage.ask("SELECT count(*) FROM people WHERE full_name IS DISTINCT FROM name").await, ["0"]);
    stage.ask("INSERT INTO people (name) VALUES ('by the old')").await;
    stage.ask("INSERT INTO people (full_name) VALUES ('by the new')").await;
    stage.ask("UPDATE people SET full_name = 'changed by the new' WHERE id = 1").await;
    stage.ask("UPDATE people SET name = 'changed by the old' WHERE id = 2").await;
    let both = stage.ask("SELECT id, name FROM people WHERE name = full_name ORDER BY id").await;

    expand.revert_to(&key("back"), &before.applied).await.unwrap();
    let after = stage.ask("SELECT id, name FROM people ORDER BY id").await;
    assert_eq!(after, both);
    let names = ["1|changed by the new", "2|changed by the old", "51|by the old", "52|by the new"];
    assert!(after.len() == 52 && names.iter().all(|row| after.iter().any(|found| found == row)), "{after:?}");
    assert_eq!(expand.state().await.unwrap(), before);
}
