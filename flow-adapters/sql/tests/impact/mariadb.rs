use flow_sql::{Catalogue, Dialect, Impact, Server, lint, split};
use serde_json::Value;

const SETUP: &str = include_str!("setup.sql");
const MATRIX: &str = include_str!("ddl_matrix.json");
const VARIANTS: &str = include_str!("variants_mariadb.json");

fn catalogue(version: &str) -> Catalogue {
    let mut catalogue = Catalogue::empty(Server::read(Dialect::Mysql, version).unwrap());
    let setup = SETUP.split("-- MariaDB").nth(1).unwrap();
    let statements = split(Dialect::Mysql, setup).unwrap();
    let unread = catalogue.learn(statements.iter().map(|statement| statement.text.as_str()));
    assert_eq!(unread, ["drop database if exists ddlm"]);
    catalogue
}

/// The algorithm and the lock of the last statement of `sql`; the ones before it make its table or its session.
fn predict(catalogue: &Catalogue, sql: &str) -> (String, String) {
    let mut catalogue = catalogue.clone();
    let statements = split(Dialect::Mysql, sql).unwrap();
    let mut statements: Vec<_> = statements.iter().map(|statement| statement.text.as_str()).collect();
    // What a script makes itself is no impact: it is there before.
    while statements.len() > 1 && !statements[0].starts_with("set") {
        assert_eq!(catalogue.learn([statements.remove(0)]), Vec::<String>::new());
    }
    match lint(&mut catalogue, statements).pop().unwrap() {
        Impact::Predicted(one) => {
            let text = |value: Value| value.as_str().unwrap_or("-").to_owned();
            let lock = one.locks.values().max().map(|mode| text(serde_json::to_value(mode).unwrap()));
            (text(serde_json::to_value(one.algorithm).unwrap()), lock.unwrap_or_default())
        }
        Impact::Unvalidated { reason } => ("unvalidated".to_owned(), reason),
    }
}

fn compare<'a>(catalogue: &Catalogue, seen: impl Iterator<Item = &'a Value>) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let mut right = 0;
    for one in seen {
        let sql = one["sql"].as_str().unwrap();
        let real = (one["algorithm"].as_str().unwrap().to_owned(), one["lock"].as_str().unwrap().to_owned());
        let foretold = predict(catalogue, sql);
        if foretold == real {
            right += 1;
        } else {
            wrong.push(format!("{sql}: {real:?} foretold as {foretold:?}"));
        }
    }
    println!("right {right}, wrong {}\n  {}", wrong.len(), wrong.join("\n  "));
    (right, wrong)
}

#[test]
fn algorithm_and_lock_of_the_matrix_are_foretold() {
    let matrix: Value = serde_json::from_str(MATRIX).unwrap();
    let seen = matrix["mariadb"].as_object().unwrap();
    let catalogue = catalogue(seen["version"].as_str().unwrap());
    let (right, wrong) = compare(&catalogue, seen.values().filter(|one| one.is_object()));
    assert_eq!((right, wrong), (31, Vec::new()));
}

#[test]
fn algorithm_and_lock_of_variants_are_foretold() {
    let variants: Value = serde_json::from_str(VARIANTS).unwrap();
    let (right, wrong) = compare(&catalogue("10.11.19-MariaDB"), variants.as_array().unwrap().iter());
    // Two are taken for dearer than they are: a computed default, and the change of the engine.
    assert_eq!((right, wrong.len()), (103, 2), "{wrong:?}");
    assert!(wrong[0].contains("rand()") && wrong[1].contains("engine=aria"), "{wrong:?}");
}
