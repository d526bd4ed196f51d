use std::collections::BTreeSet;

use flow_sql::{Catalogue, Dialect, Impact, LockMode, Prediction, Server, lint, split};
use serde_json::Value;
use squawk_linter::{Linter, Rule};
use squawk_syntax::SourceFile;

use crate::confusion::Confusion;

const SETUP: &str = include_str!("setup.sql");
const MATRIX: &str = include_str!("ddl_matrix.json");
const MORE: &str = include_str!("variants.sql");
const VARIANTS: &str = include_str!("variants_postgres.json");

/// One operation, and what the server did.
struct Operation {
    sql: String,
    locks: BTreeSet<String>,
    exclusive: BTreeSet<String>,
    rewrites: BTreeSet<String>,
    scans: BTreeSet<String>,
}

fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(names) => names.keys().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

fn operation(sql: &Value, seen: &Value) -> Operation {
    let locks = seen["locks"].as_object().cloned().unwrap_or_default();
    let exclusive = locks
        .iter()
        .filter(|(_, mode)| *mode == "AccessExclusiveLock")
        .map(|(name, _)| name.clone())
        .collect();
    Operation {
        sql: sql.as_str().unwrap_or_default().to_owned(),
        locks: locks
            .iter()
            .map(|(name, mode)| format!("{name} {}", mode.as_str().unwrap_or_default()))
            .collect(),
        exclusive,
        rewrites: names(&seen["rewrite"]),
        scans: names(seen.get("scan_rows").unwrap_or(&seen["scans"])),
    }
}

fn matrix(server: &str) -> (Server, Vec<Operation>) {
    let matrix: Value = serde_json::from_str(MATRIX).unwrap();
    let seen = matrix[server].as_object().unwrap();
    let version = Server::read(Dialect::Postgres, seen["version"].as_str().unwrap()).unwrap();
    let operations = seen.values().filter(|one| one.is_object()).map(|one| operation(&one["sql"], one));
    (version, operations.collect())
}

fn variants(server: &str) -> Vec<Operation> {
    let variants: Value = serde_json::from_str(VARIANTS).unwrap();
    let seen = variants.as_array().unwrap().iter().filter(|one| one[server].is_object());
    seen.map(|one| operation(&one["sql"], &one[server])).collect()
}

fn catalogue(server: Server, more: &str) -> Catalogue {
    // The servers that were measured keep their clocks in UTC.
    let mut catalogue = Catalogue::empty(server).in_time_zone("Etc/UTC");
    let setup = SETUP.split("-- MariaDB").next().unwrap().to_owned() + more;
    let statements = split(Dialect::Postgres, &setup).unwrap();
    let unread = catalogue.learn(statements.iter().map(|statement| statement.text.as_str()));
    assert_eq!(unread, Vec::<String>::new());
    catalogue
}

/// None where the lint says that it does not know.
fn predict(catalogue: &Catalogue, sql: &str) -> Option<Prediction> {
    let statements = split(Dialect::Postgres, sql).unwrap();
    let impacts = lint(&mut catalogue.clone(), statements.iter().map(|statement| statement.text.as_str()));
    let mut whole = Prediction::default();
    for impact in impacts {
        let Impact::Predicted(one) = impact else { return None };
        for (relation, mode) in one.locks {
            let held = whole.locks.entry(relation).or_insert(mode);
            *held = (*held).max(mode);
        }
        whole.rewrites.extend(one.rewrites);
        whole.scans.extend(one.scans);
    }
    Some(whole)
}

#[derive(Default)]
struct Measure {
    locks: Confusion,
    exclusive: Confusion,
    rewrites: Confusion,
    scans: Confusion,
    unvalidated: Vec<String>,
}

fn measure(catalogue: &Catalogue, operations: &[Operation]) -> Measure {
    let mut measure = Measure::default();
    for real in operations {
        let Some(foretold) = predict(catalogue, &real.sql) else {
            measure.unvalidated.push(real.sql.clone());
            continue;
        };
        let mode = |mode: &LockMode| serde_json::to_value(mode).unwrap().as_str().unwrap().to_owned();
        let locks = foretold.locks.iter().map(|(name, held)| format!("{name} {}", mode(held))).collect();
        let exclusive = foretold.locks.iter().filter(|(_, held)| **held == LockMode::AccessExclusive);
        let exclusive = exclusive.map(|(name, _)| name.clone()).collect();
        measure.locks.count(&real.sql, &locks, &real.locks);
        measure.exclusive.count(&real.sql, &exclusive, &real.exclusive);
        measure.rewrites.count(&real.sql, &foretold.rewrites, &real.rewrites);
        measure.scans.count(&real.sql, &foretold.scans, &real.scans);
    }
    measure
}

fn show_and_hold(title: &str, measure: &Measure) {
    println!("== {title}");
    println!("table rewrites:   {}", measure.rewrites);
    println!("access exclusive: {}", measure.exclusive);
    println!("all locks:        {}", measure.locks);
    println!("scans:            {}", measure.scans);
    assert!(
        measure.rewrites.recall() >= 100.0 && measure.rewrites.precision() >= 90.0,
        "rewrites: {}",
        measure.rewrites
    );
    assert!(
        measure.exclusive.recall() >= 95.0 && measure.exclusive.precision() >= 90.0,
        "locks: {}",
        measure.exclusive
    );
    assert!(measure.locks.recall() >= 95.0 && measure.locks.precision() >= 90.0, "locks: {}", measure.locks);
}

/// Squawk's rules, read as predictions: the rules that speak of a rewrite or of an exclusive lock.
fn squawk(operations: &[Operation]) -> (Confusion, Confusion) {
    let rewriting =
        [Rule::AddingFieldWithDefault, Rule::ChangingColumnType, Rule::AddingSerialPrimaryKeyField];
    let locking = [
        Rule::AddingFieldWithDefault,
        Rule::AddingNotNullableField,
        Rule::AddingRequiredField,
        Rule::AddingSerialPrimaryKeyField,
        Rule::BanDropColumn,
        Rule::BanDropConstraint,
        Rule::BanDropNotNull,
        Rule::BanDropTable,
        Rule::ChangingColumnType,
        Rule::ConstraintMissingNotValid,
        Rule::DisallowedUniqueConstraint,
        Rule::RenamingColumn,
        Rule::RenamingTable,
        Rule::RequireConcurrentIndexDeletion,
    ];
    let (mut rewrites, mut locks) = (Confusion::default(), Confusion::default());
    for real in operations {
        let parse = SourceFile::parse(&real.sql);
        let found: Vec<_> =
            Linter::with_default_rules().lint(&parse, &real.sql).into_iter().map(|one| one.code).collect();
        // It names no relation: the statement as a whole is right or wrong.
        let some = |is: bool| is.then(|| "a table".to_owned()).into_iter().collect::<BTreeSet<_>>();
        let says = |rules: &[Rule]| some(found.iter().any(|rule| rules.contains(rule)));
        rewrites.count(&real.sql, &says(&rewriting), &some(!real.rewrites.is_empty()));
        locks.count(&real.sql, &says(&locking), &some(!real.exclusive.is_empty()));
    }
    (rewrites, locks)
}

#[test]
fn rewrites_and_exclusive_locks_of_the_matrix_are_foretold_for_15_and_18() {
    for server in ["pg15", "pg18"] {
        let (version, operations) = matrix(server);
        assert_eq!(operations.len(), 52);
        let measure = measure(&catalogue(version, ""), &operations);
        show_and_hold(server, &measure);
        assert_eq!(measure.unvalidated, Vec::<String>::new());
        // Better than asked for, and to stay so.
        for confusion in [&measure.rewrites, &measure.exclusive, &measure.locks, &measure.scans] {
            assert_eq!(confusion.wrong(), Vec::<&str>::new());
        }
        let (rewrites, locks) = squawk(&operations);
        println!("squawk, table rewrites:   {rewrites}squawk, access exclusive: {locks}");
        assert!(locks.recall() < measure.exclusive.recall(), "squawk foretells the locks as well: {locks}");
    }
}

#[test]
fn variants_in_other_words_are_foretold_as_well() {
    for (name, version) in [("pg15", "15.18"), ("pg18", "18.0")] {
        let server = Server::read(Dialect::Postgres, version).unwrap();
        let operations = variants(name);
        assert!(operations.len() > 200, "{}", operations.len());
        let measure = measure(&catalogue(server, MORE), &operations);
        show_and_hold(name, &measure);
        // A volatile function whose body is a constant, and a renamed table under its name of before.
        assert_eq!(measure.rewrites.wrong(), ["alter table t add column x int default vf(): t"]);
        let renamed = "alter table parent rename to elders; drop table child cascade: elders";
        assert_eq!(measure.exclusive.wrong(), [renamed]);
        assert_eq!(measure.locks.wrong(), [format!("{renamed} AccessExclusiveLock")]);
        assert_eq!(measure.unvalidated, ["drop type color cascade", "drop function trf() cascade"]);
    }
}

#[test]
fn another_spelling_of_the_matrix_changes_no_prediction() {
    let (version, operations) = matrix("pg15");
    let catalogue = catalogue(version, "");
    for real in &operations {
        let plain = predict(&catalogue, &real.sql);
        // What stands in quotes has a case.
        let shout = real.sql.split('\'').enumerate();
        let shout: Vec<_> =
            shout.map(|(at, part)| if at % 2 == 0 { part.to_uppercase() } else { part.to_owned() }).collect();
        let spread =
            real.sql.replace(' ', " /* a; b */\n").replace("alter table t ", "alter table public.\"t\" ");
        for other in [shout.join("'"), spread] {
            assert_eq!(predict(&catalogue, &other), plain, "{other}");
        }
    }
}
