use flow_sql::{Catalogue, Dialect, Impact, LockMode, Prediction, Server, lint};

fn predict(script: &[&str]) -> Prediction {
    let mut catalogue = Catalogue::empty(Server::read(Dialect::Sqlite, "3.40.1").unwrap());
    let tables = [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE child (p REFERENCES parent ON DELETE CASCADE)",
    ];
    assert_eq!(catalogue.learn(tables), Vec::<String>::new());
    catalogue.count("parent", 3);
    match lint(&mut catalogue, script.iter().copied()).pop().unwrap() {
        Impact::Predicted(one) => one,
        Impact::Unvalidated { reason } => panic!("{script:?}: {reason}"),
    }
}

#[test]
fn what_is_written_anew_and_what_is_read_is_foretold() {
    for (statement, rewrites, scans) in [
        ("ALTER TABLE parent ADD COLUMN c", &[][..], &[][..]),
        ("ALTER TABLE [Parent] ADD c INT NOT NULL DEFAULT 1", &[], &["parent"]),
        ("ALTER TABLE main.parent DROP COLUMN b", &["parent"], &["parent"]),
        ("ALTER TABLE parent RENAME a TO x", &[], &[]),
        ("CREATE INDEX i ON \"parent\" (a)", &[], &["parent"]),
        ("INSERT INTO parent SELECT * FROM child", &[], &["child"]),
        ("CREATE TABLE fresh (x)", &[], &[]),
        ("VACUUM", &["child", "parent"], &["child", "parent"]),
    ] {
        let one = predict(&[statement]);
        assert!(one.rewrites.iter().eq(rewrites), "{statement}: {:?}", one.rewrites);
        assert!(one.scans.iter().eq(scans), "{statement}: {:?}", one.scans);
        assert_eq!(one.locks["main"], LockMode::Reserved, "{statement}");
    }
}

#[test]
fn a_rebuild_that_takes_the_children_along_is_named() {
    let rebuild = ["CREATE TABLE new (id)", "INSERT INTO new SELECT id FROM parent", "DROP TABLE parent"];
    let lints = |script: &[&str]| -> Vec<String> {
        predict(script).advice.into_iter().map(|advice| advice.lint).collect()
    };
    let on = [&["PRAGMA foreign_keys = ON"][..], &rebuild].concat();
    assert!(lints(&on).contains(&"drop-deletes-children".to_owned()));
    let off = [&["PRAGMA foreign_keys = OFF"][..], &rebuild].concat();
    assert!(!lints(&off).contains(&"drop-deletes-children".to_owned()));
}
