use std::collections::BTreeSet;

use flow_sql::{Catalogue, Dialect, Impact, Server, lint};

const TABLES: [&str; 4] = [
    "CREATE TABLE accounts (id int PRIMARY KEY)",
    "CREATE TABLE users (id int, name text, at timestamp, account int)",
    "CREATE TYPE mood AS ENUM ('good')",
    "CREATE VIEW names AS SELECT name FROM users",
];

/// The names of the lints that the last statement of `script` gets, on PostgreSQL with rows in all tables.
fn lints(script: &[&str]) -> BTreeSet<String> {
    let mut catalogue = Catalogue::empty(Server::read(Dialect::Postgres, "15.18").unwrap());
    assert_eq!(catalogue.learn(TABLES), Vec::<String>::new());
    catalogue.count("users", 1000);
    catalogue.count("accounts", 1000);
    match lint(&mut catalogue, script.iter().copied()).pop().unwrap() {
        Impact::Predicted(one) => one.advice.into_iter().map(|advice| advice.lint).collect(),
        Impact::Unvalidated { reason } => BTreeSet::from([format!("unvalidated: {reason}")]),
    }
}

#[test]
fn what_hurts_a_running_service_is_named_with_its_safe_way() {
    let quick = "SET lock_timeout = '2s'";
    for (script, expected) in [
        (&[quick, "ALTER TABLE users ADD x int NOT NULL"][..], "required-column-without-default"),
        (&[quick, "ALTER TABLE users ALTER name SET NOT NULL"], "not-null-scanned"),
        (&[quick, "ALTER TABLE users ALTER at TYPE timestamptz"], "timestamp-zone-rewritten"),
        (&[quick, "ALTER TABLE users ALTER id TYPE bigint"], "type-rewritten"),
        (&[quick, "ALTER TABLE users ADD FOREIGN KEY (account) REFERENCES accounts"], "foreign-key-checked"),
        (&[quick, "ALTER TABLE users ADD CHECK (id > 0)"], "check-checked"),
        (&[quick, "ALTER TABLE users ADD UNIQUE (id)"], "constraint-builds-index"),
        (&[quick, "CREATE INDEX ON users (name)"], "index-blocks-writes"),
        (&[quick, "ALTER TABLE users DROP COLUMN name"], "ban-drop-column"),
        (&[quick, "ALTER TABLE users RENAME name TO label"], "renaming-column"),
        (&[quick, "ALTER TABLE users RENAME TO people"], "renaming-table"),
        (&[quick, "DROP TABLE users"], "ban-drop-table"),
        (&[quick, "UPDATE users SET name = 'x'"], "whole-table-written"),
        (&["ALTER TABLE users ADD x int"], "lock-timeout-missing"),
    ] {
        assert_eq!(lints(script), BTreeSet::from([expected.to_owned()]), "{script:?}");
    }
}

#[test]
fn the_safe_ways_themselves_are_left_alone() {
    let quick = "SET lock_timeout = '2s'";
    for script in [
        &[quick, "ALTER TABLE users ADD x int NOT NULL DEFAULT 1"][..],
        &[quick, "ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID"],
        &[
            quick,
            "ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID",
            "ALTER TABLE users VALIDATE CONSTRAINT n",
            "ALTER TABLE users ALTER name SET NOT NULL",
        ],
        &[quick, "SET timezone = 'UTC'", "ALTER TABLE users ALTER at TYPE timestamptz"],
        &[quick, "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (account) REFERENCES accounts NOT VALID"],
        &["CREATE INDEX CONCURRENTLY i ON users (name)"],
        &[
            "CREATE TABLE fresh (id int)",
            "ALTER TABLE fresh ALTER id TYPE bigint",
            "CREATE INDEX ON fresh (id)",
        ],
        &["ALTER TYPE mood ADD VALUE 'bad'"],
        &["UPDATE users SET name = 'x' WHERE id BETWEEN 1 AND 1000"],
    ] {
        assert_eq!(lints(script), BTreeSet::new(), "{script:?}");
    }
}

#[test]
fn what_is_not_in_the_text_counts_as_unvalidated() {
    for statement in [
        "ALTER TABLE users FROBNICATE",
        "DO $$ BEGIN DROP TABLE users; END $$",
        "CALL repair()",
        "SELECT repair_all()",
        "DROP TYPE mood CASCADE",
        "DROP INDEX CONCURRENTLY somewhere",
    ] {
        let found = lints(&[statement]);
        assert!(found.iter().any(|lint| lint.starts_with("unvalidated")), "{statement}: {found:?}");
    }
}

#[test]
fn a_table_that_is_not_known_is_taken_for_the_worst() {
    let mut catalogue = Catalogue::unknown(Server::read(Dialect::Postgres, "15.18").unwrap());
    let impacts =
        lint(&mut catalogue, ["ALTER TABLE users ALTER name TYPE text", "DROP TABLE IF EXISTS users"]);
    let [Impact::Predicted(one), Impact::Predicted(other)] = &impacts[..] else { panic!("{impacts:?}") };
    assert!(one.rewrites.contains("users"));
    assert!(other.locks.contains_key("users"));
}

#[test]
fn an_enum_of_mysql_may_grow_at_its_end_alone() {
    let mut catalogue = Catalogue::empty(Server::read(Dialect::Mysql, "10.11.19-MariaDB").unwrap());
    catalogue.learn(["CREATE TABLE t (e ENUM('a','b'))"]);
    catalogue.count("t", 5);
    let copied = |catalogue: &Catalogue, sql: &str| {
        let impacts = lint(&mut catalogue.clone(), [sql]);
        let [Impact::Predicted(one)] = &impacts[..] else { panic!("{impacts:?}") };
        one.advice.iter().any(|advice| advice.lint == "table-copied")
    };
    assert!(!copied(&catalogue, "ALTER TABLE t MODIFY e ENUM('a','b','c')"));
    assert!(copied(&catalogue, "ALTER TABLE t MODIFY e ENUM('c','a','b')"));
}
