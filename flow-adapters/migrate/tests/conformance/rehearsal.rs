//! What a rehearsal on a restored copy measures, beside the matrix of what servers were seen to do, and what the lint foretells
//! from the live catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use flow_core::port::Migrator as _;
use flow_core::{CancelToken, ErrorKind, name};
use flow_migrate::{BackupSettings, SqlConfig, SqlMigrations, StatementPlan, Target};
use flow_proving::Directory;
use flow_proving::server::{Postgres, PostgresVersion};
use flow_sql::{Dialect, Impact, LockMode, split};
use serde_json::Value;

use crate::stage::{Engine, Stage};
use crate::world::fact;

const MATRIX: &str = include_str!("../../../sql/tests/impact/ddl_matrix.json");
const OWNER: &str = "SET ROLE app;";
const SETUP: &str = include_str!("../../../sql/tests/impact/setup.sql");

fn operations(server: &str) -> Vec<Value> {
    let matrix: Value = serde_json::from_str(MATRIX).unwrap();
    matrix[server].as_object().unwrap().values().filter(|one| one.is_object()).cloned().collect()
}

fn sql(operation: &Value) -> &str {
    operation["sql"].as_str().unwrap()
}

/// The tables of PostgreSQL (0) or of MariaDB (1). The schema is there already, with its rights.
fn setup(part: usize) -> String {
    let tables = SETUP.split("-- MariaDB").nth(part).unwrap();
    // By the user that migrates.
    tables.replace("drop schema public cascade; create schema public;", OWNER)
}

/// What the matrix says: locks, rewritten relations, rows read.
fn seen(operation: &Value) -> (BTreeMap<String, String>, BTreeSet<String>, BTreeMap<String, u64>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let locks = operation["locks"].as_object().unwrap().iter().map(|(name, mode)| (name.clone(), text(mode)));
    let scans = operation["scan_rows"].as_object().unwrap();
    let scans = scans.iter().map(|(name, rows)| (name.clone(), rows.as_u64().unwrap()));
    let rewrites = operation["rewrite"].as_array().unwrap().iter().map(text);
    (locks.collect(), rewrites.collect(), scans.collect())
}

fn named(locks: &BTreeMap<String, LockMode>) -> BTreeMap<String, String> {
    let mode = |mode| serde_json::to_value(mode).unwrap().as_str().unwrap().to_owned();
    locks.iter().map(|(name, held)| (name.clone(), mode(held))).collect()
}

/// All operations in one script, each taken back before the next one.
fn all_taken_back(operations: &[Value]) -> String {
    let mut script = "BEGIN;\n".to_owned();
    for operation in operations {
        writeln!(script, "SAVEPOINT one;\n{};\nROLLBACK TO one;", sql(operation)).unwrap();
    }
    script + "COMMIT;\n"
}

/// The plan of each operation's own last statement, between the savepoint and the way back to it.
fn of_operations<'a>(operations: &[Value], plans: &'a [StatementPlan]) -> Vec<&'a StatementPlan> {
    let mut at = 0;
    let mut found = Vec::new();
    for operation in operations {
        at += 1 + split(Dialect::Postgres, sql(operation)).unwrap().len();
        found.push(&plans[at - 1]);
        at += 1;
    }
    found
}

fn check_against_matrix(mut operations: Vec<Value>, plans: &[StatementPlan]) {
    // Taken back, an update leaves rows behind that the next scan meets.
    operations.sort_by_key(|operation| sql(operation).starts_with("update"));
    let plans = of_operations(&operations, &plans[1..plans.len() - 1]);
    for (operation, plan) in operations.iter().zip(plans) {
        let measured = plan.measured.as_ref().unwrap();
        let found = (named(&measured.locks), measured.rewrites.clone(), measured.scans.clone());
        assert_eq!(found, seen(operation), "{}", sql(operation));
    }
}

async fn rehearse_matrix(server: &str, stage: &Stage, migrations: &SqlMigrations) {
    let mut operations = operations(server);
    operations.sort_by_key(|operation| sql(operation).starts_with("update"));
    stage.ask(&setup(0)).await;
    stage.script("1_all", &all_taken_back(&operations), None);
    let tables = stage.tables().await;
    let plans = migrations.rehearse(&CancelToken::new()).await.unwrap();
    check_against_matrix(operations, &plans);
    assert_eq!(stage.tables().await, tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_rewrites_and_scanned_rows_are_measured_as_in_the_matrix() {
    let stage = Stage::new(Engine::Postgres).await;
    rehearse_matrix("pg15", &stage, &stage.migrations()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18_is_measured_as_in_the_matrix_too() {
    let server = Postgres::start(&Directory::new().unwrap(), PostgresVersion::Eighteen, &[]).await.unwrap();
    let url = server.create_database("matrix").unwrap();
    server.sql("matrix", &setup(0)).unwrap();
    let mut operations = operations("pg18");
    operations.sort_by_key(|operation| sql(operation).starts_with("update"));
    let directory = tempfile::tempdir().unwrap();
    let scripts: PathBuf = directory.path().join("scripts");
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("1_all.up.sql"), all_taken_back(&operations)).unwrap();
    let config =
        SqlConfig::new(Target::parse(&url).unwrap(), scripts, directory.path().join("backups"), name!("db"));
    let tools = vec![PostgresVersion::Eighteen.tools().unwrap()];
    let backup = BackupSettings { tools, ..BackupSettings::default() };
    let migrations = SqlMigrations::new(SqlConfig { backup, ..config }).unwrap();
    let plans = migrations.rehearse(&CancelToken::new()).await.unwrap();
    check_against_matrix(operations, &plans);
}

/// The tables of the matrix on MariaDB, with few rows.
fn mariadb_tables() -> String {
    setup(1).split("use ddlm;").nth(1).unwrap().replace("20000", "200")
}

/// Makes the table of `operation` anew, in the words of the tables' own script; the four others stay as they are.
fn renewed(operation: &str) -> String {
    let table = operation.split("alter table ").nth(1).unwrap().split(' ').next().unwrap();
    let tables = mariadb_tables();
    let of_table = |statement: &String| {
        let words: Vec<_> = statement.split([' ', '(']).collect();
        words.windows(2).any(|pair| ["table", "into"].contains(&pair[0]) && pair[1] == table)
    };
    let made: Vec<_> =
        split(Dialect::Mysql, &tables).unwrap().into_iter().map(|made| made.text).filter(of_table).collect();
    let made = made.join("; ");
    format!(
        "SET foreign_key_checks = 0; DROP TABLE IF EXISTS {table}, t9; {made}; SET foreign_key_checks = 1"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn algorithm_and_lock_are_measured_as_in_the_matrix() {
    let stage = Stage::new(Engine::Mariadb).await;
    let operations = operations("mariadb");
    let mut script = format!("{};\n", mariadb_tables().trim().trim_end_matches(';'));
    let mut places = Vec::new();
    for operation in &operations {
        writeln!(script, "{};\n{};", renewed(sql(operation)), sql(operation)).unwrap();
        places.push(split(Dialect::Mysql, &script).unwrap().len() - 1);
    }
    stage.script("1_all", &script, None);
    let plans = stage.migrations().rehearse(&CancelToken::new()).await.unwrap();
    for (operation, place) in operations.iter().zip(places) {
        let plan = &plans[place];
        let measured = plan.measured.as_ref().unwrap();
        let algorithm = serde_json::to_value(measured.algorithm).unwrap();
        let lock = named(&measured.locks).into_values().next();
        let found = (algorithm.as_str(), lock.as_deref());
        assert_eq!(
            found,
            (operation["algorithm"].as_str(), operation["lock"].as_str()),
            "{}",
            sql(operation)
        );
    }
    assert_eq!(stage.tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lint_knows_the_live_catalogue() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.ask(&setup(0)).await;
    let matters = |operation: &Value, words: &[&str]| {
        flow_proving::is_long() || words.iter().any(|word| sql(operation).contains(word))
    };
    // Columns' types, checks, keys and indexes.
    let words = [
        "column v type",
        "column ts type",
        "c1 ",
        "c2 ",
        "f1 ",
        "x1 ",
        "drop index",
        "foreign key",
        "set not null",
    ];
    for operation in operations("pg15").into_iter().filter(|operation| matters(operation, &words)) {
        stage.script("1_one", sql(&operation), None);
        let plans = stage.migrations().lint().await.unwrap();
        let Impact::Predicted(foretold) = &plans.last().unwrap().foretold else { panic!("{plans:?}") };
        let (locks, rewrites, scans) = seen(&operation);
        let found = (named(&foretold.locks), &foretold.rewrites, foretold.scans.iter().collect::<Vec<_>>());
        assert_eq!(found, (locks, &rewrites, scans.keys().collect()), "{}", sql(&operation));
    }
    let stage = Stage::new(Engine::Mariadb).await;
    stage.ask(&mariadb_tables()).await;
    let words = ["modify", "drop column", "convert"];
    for operation in operations("mariadb").into_iter().filter(|operation| matters(operation, &words)) {
        stage.script("1_one", sql(&operation), None);
        let plans = stage.migrations().lint().await.unwrap();
        let Impact::Predicted(foretold) = &plans.last().unwrap().foretold else { panic!("{plans:?}") };
        let algorithm = serde_json::to_value(foretold.algorithm).unwrap();
        assert_eq!(algorithm, operation["algorithm"], "{}", sql(&operation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_of_a_transaction_has_its_own_lock() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.ask(&format!("{OWNER} CREATE TABLE t (a INT)")).await;
    let up = "ALTER TABLE t ADD b INT; CREATE INDEX i ON t (a); CREATE INDEX j ON t (b); ALTER TABLE t ALTER a SET DEFAULT 1";
    stage.script("1_several", up, None);
    let plans = stage.migrations().rehearse(&CancelToken::new()).await.unwrap();
    let modes: Vec<_> = plans.iter().map(|plan| plan.measured.as_ref().unwrap().locks["t"]).collect();
    let (exclusive, share) = (LockMode::AccessExclusive, LockMode::Share);
    assert_eq!(modes, [exclusive, share, share, exclusive]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_built_concurrently_is_watched_from_beside() {
    let stage = Stage::new(Engine::Postgres).await;
    stage.ask(&format!("{OWNER} CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 200000) AS g")).await;
    stage.script("1_i", "CREATE INDEX CONCURRENTLY i ON t (a)", Some("DROP INDEX CONCURRENTLY i"));
    let plans = stage.migrations().rehearse(&CancelToken::new()).await.unwrap();
    let [plan] = &plans[..] else { panic!("{plans:?}") };
    let measured = plan.measured.as_ref().unwrap();
    assert_eq!(measured.locks, BTreeMap::from([("t".to_owned(), LockMode::ShareUpdateExclusive)]));
    assert_eq!(measured.scans.keys().collect::<Vec<_>>(), ["t"]);
    assert_eq!(measured.rewrites, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_that_do_not_lead_back_are_named_and_rows_that_are_lost_are_counted() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let stage = Stage::new(engine).await;
        let owner = if engine == Engine::Postgres { OWNER } else { "" };
        stage
            .ask(&format!("{owner} CREATE TABLE t (a INT, b INT); INSERT INTO t VALUES (1, 1), (2, 2)"))
            .await;
        stage
            .script("1_fine", "ALTER TABLE t ADD c INT", Some("ALTER TABLE t DROP COLUMN c"))
            .script("2_empty", "CREATE TABLE x (a INT)", Some("-- nothing"))
            .script("3_fails", "CREATE TABLE y (a INT)", Some("DROP TABLE y;\nDROP TABLE nowhere"))
            .script("4_other", "ALTER TABLE t DROP COLUMN b", Some("ALTER TABLE t ADD b VARCHAR(9)"));
        let error = stage.migrations().rehearse(&CancelToken::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        let ways: Vec<_> = error.facts().map(|(name, _)| name).collect();
        assert_eq!(ways, ["way back of 2", "way back of 3", "way back of 4"], "{engine:?}: {error}");
        assert!(fact(&error, "way back of 2").starts_with("the down script is empty"), "{error}");
        assert!(fact(&error, "way back of 3").contains("statement 2"), "{error}");
        assert!(
            fact(&error, "way back of 4").starts_with("the down script does not restore the schema"),
            "{error}"
        );

        for stem in ["2_empty", "3_fails", "4_other"] {
            std::fs::remove_file(stage.scripts().join(format!("{stem}.up.sql"))).unwrap();
            std::fs::remove_file(stage.scripts().join(format!("{stem}.down.sql"))).unwrap();
        }
        stage.script("5_lossy", "DELETE FROM t WHERE a = 2", Some("DELETE FROM t"));
        let impact = stage.migrations().impact().await.unwrap();
        let last = &impact.last().unwrap().effect;
        assert!(last.contains("the way back leaves 0 of 2 rows in `"), "{engine:?}: {last}");
        assert_eq!(stage.ask("SELECT count(*) FROM t").await, ["2"]);
        assert_eq!(stage.tables().await, ["t"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_on_real_rows_alone_fails_on_the_copy() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let stage = Stage::new(engine).await;
        let owner = if engine == Engine::Postgres { OWNER } else { "" };
        stage.ask(&format!("{owner} CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (1)")).await;
        stage.script("1_unique", "SELECT 1;\nCREATE UNIQUE INDEX i ON t (a)", None);
        let error = stage.migrations().impact().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert_eq!(
            ["version", "statement", "line"].map(|name| fact(&error, name)),
            ["1", "2", "2"],
            "{engine:?}"
        );
    }
}
