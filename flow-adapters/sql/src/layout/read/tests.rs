use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn file(path: &str, bytes: impl AsRef<[u8]>) -> Entry {
    Entry { path: path.into(), bytes: bytes.as_ref().to_vec() }
}

fn folder(layout: Layout, dialect: Dialect, entries: Vec<Entry>) -> Vec<Script> {
    read(layout, dialect, entries, |_| None).unwrap()
}

fn problems(layout: Layout, dialect: Dialect, entries: Vec<Entry>) -> Vec<String> {
    let found = read(layout, dialect, entries, |_| None).unwrap_err();
    found.as_slice().iter().map(ToString::to_string).collect()
}

/// Each version with its name, its modes up and down, and the text of its up script.
fn shape(scripts: &[Script]) -> Vec<(&str, &str, Mode, Option<Mode>, &str)> {
    scripts
        .iter()
        .map(|script| {
            let down = script.down.as_ref().map(|down| down.mode);
            (script.version.as_str(), script.name.as_str(), script.up.mode, down, script.up.text.as_str())
        })
        .collect()
}

use Mode::{Statements, Transaction};

const SHA384_OF_SELECT_1: &str =
    "a87be5ea59a50f1537b8361d62582b67f0f8665b89a1afa8f5f5ccc3ec84e9b8c62649fb92c16783942166f392ecc20e";

#[test]
fn sqlx_orders_by_number_and_takes_files_with_and_without_a_direction() {
    let scripts = folder(
        Layout::Sqlx,
        Dialect::Postgres,
        vec![
            file("10_last.sql", "-- no-transaction\nVACUUM"),
            file("9_add the users.up.sql", "SELECT 1"),
            file("9_add the users.down.sql", "-- no-transaction\nSELECT 2"),
            file("20191100000001000000_far.up.sql", "SELECT 3 -- no-transaction"),
            file("11_only a comment.sql", "-- nothing left to do\n"),
            file("README.md", b"\xff"),
            file(".keep", b"\xff"),
            file(".git/1_x.up.sql", b"\xff"),
        ],
    );
    assert_eq!(
        shape(&scripts),
        [
            ("9", "add the users", Transaction, Some(Statements), "SELECT 1"),
            ("10", "last", Statements, None, "-- no-transaction\nVACUUM"),
            ("11", "only a comment", Transaction, None, "-- nothing left to do\n"),
            ("20191100000001000000", "far", Transaction, None, "SELECT 3 -- no-transaction"),
        ]
    );
    assert_eq!(scripts[2].up.statements, []);
}

#[test]
fn diesel_takes_folders_with_spaces_and_hyphens_and_their_metadata() {
    let scripts = folder(
        Layout::Diesel,
        Dialect::Postgres,
        vec![
            file("2019-02-26-002946_add an index/up.sql", "SELECT 1"),
            file("2019-02-26-002946_add an index/down.sql", "-- there is no way back\n"),
            file("2019-02-26-002946_add an index/metadata.toml", "# x\nrun_in_transaction = false # y\n"),
            file("00000000000000_diesel_initial_setup/up.sql", "-- no-transaction"),
            file("00000000000000_diesel_initial_setup/down.sql", ""),
            file("20190226002947_last/up.sql", "SELECT 3"),
            file("query_of_another_use.sql", b"\xff"),
            file("20190226002947_last/metadata.toml", "run_in_transaction = true"),
        ],
    );
    assert_eq!(
        shape(&scripts),
        [
            ("00000000000000", "diesel_initial_setup", Transaction, Some(Transaction), "-- no-transaction"),
            ("2019-02-26-002946", "add an index", Statements, Some(Statements), "SELECT 1"),
            ("20190226002947", "last", Transaction, None, "SELECT 3"),
        ]
    );
    // An empty way back is there, and is told apart from none.
    for at in [0, 1] {
        assert_eq!(scripts[at].down.as_ref().unwrap().statements, []);
    }
}

#[test]
fn popx_prefers_the_file_of_its_dialect_and_leaves_the_others_unread() {
    let entries = || {
        vec![
            file("20150100000001000000_a.up.sql", "SELECT 'general'"),
            file("20150100000001000000_a.down.sql", "SELECT 1"),
            file("20150100000001000000_a.sqlite3.up.sql", "SELECT 'sqlite'"),
            file("20150100000001000000_a.mysql.autocommit.up.sql", ""),
            file("20150100000001000000_a.cockroach.up.sql", b"\xff"),
            file("2_b.mysql.up.sql", "SELECT `mysql`"),
            file("2_b.mysql.down.sql", "SELECT 1"),
            file("3_c.autocommit.up.sql", "SELECT 3"),
            file("3_c.autocommit.down.sql", "SELECT 3"),
        ]
    };
    assert_eq!(
        shape(&folder(Layout::Popx, Dialect::Sqlite, entries())),
        [
            ("3", "c", Statements, Some(Statements), "SELECT 3"),
            ("20150100000001000000", "a", Transaction, Some(Transaction), "SELECT 'sqlite'"),
        ]
    );
    assert_eq!(
        shape(&folder(Layout::Popx, Dialect::Mysql, entries())),
        [
            ("2", "b", Transaction, Some(Transaction), "SELECT `mysql`"),
            ("3", "c", Statements, Some(Statements), "SELECT 3"),
            ("20150100000001000000", "a", Statements, Some(Transaction), ""),
        ]
    );
    let postgres = folder(Layout::Popx, Dialect::Postgres, entries());
    assert_eq!(postgres[1].up.text, "SELECT 'general'");
}

#[test]
fn flyway_takes_dotted_versions_undo_scripts_and_settings_in_any_folder() {
    let scripts = folder(
        Layout::Flyway,
        Dialect::Postgres,
        vec![
            file("V1_10__later.sql", "SELECT '${kept}'"),
            file("V1_10__later.sql.conf", "executeInTransaction=false\nplaceholderReplacement=false\n"),
            file("nested/deep/V1.2__earlier one.sql", "SELECT 1"),
            file("undo/U1.2__take_back.sql", "SELECT 2"),
            file("V20240101__last.sql", "SELECT $$ {x} $$, '$ {y}'"),
            file("flyway.conf", b"\xff"),
        ],
    );
    assert_eq!(
        shape(&scripts),
        [
            ("1.2", "earlier one", Transaction, Some(Transaction), "SELECT 1"),
            ("1_10", "later", Statements, None, "SELECT '${kept}'"),
            ("20240101", "last", Transaction, None, "SELECT $$ {x} $$, '$ {y}'"),
        ]
    );
}

#[test]
fn every_problem_of_every_file_is_found_at_once() {
    let found = problems(
        Layout::GolangMigrate,
        Dialect::Sqlite,
        vec![
            file("1_a.up.sql", "SELECT 1"),
            file("0001_b.up.sql", "SELECT 1"),
            file("2_bom.up.sql", b"\xef\xbb\xbfSELECT 1"),
            file("3_latin.up.sql", b"SELECT 1;\nSELECT '\xe4'"),
            file("4_empty.up.sql", " \n"),
            file("5_alone.down.sql", "SELECT 1"),
            file("6_x.up.sql", "SELECT 1"),
            file("6_y.down.sql", "SELECT 1;\n.read x\n.quit"),
            file("7_nul.up.sql", "SELECT 1;\0DROP TABLE t"),
            file("8_open.up.sql", "\nSELECT '"),
            file("9_both.up.sql", "SELECT 1;\n-- Migrate:Down\nSELECT 2"),
            file("V9__flyway.sql", "SELECT 1"),
            file("x_y.up.sql", "SELECT 1"),
            file("1.0_x.up.sql", "SELECT 1"),
            file("11.up.sql", "SELECT 1"),
            file("12_.up.sql", "SELECT 1"),
            file("archive/1_old.up.sql", "SELECT 1"),
        ],
    );
    let expected = [
        "`11.up.sql`: the name has no `_` after the version",
        "`12_.up.sql`: there is no name after the version",
        "`1_a.up.sql`: has the same version as `0001_b.up.sql`",
        "`1.0_x.up.sql`: the version before the first `_` is not a number",
        "`2_bom.up.sql`: begins with a byte order mark",
        "`3_latin.up.sql`: is not UTF-8 at byte 18, line 2",
        "`4_empty.up.sql`: holds no statement",
        "`5_alone.down.sql`: has no up script",
        "`6_y.down.sql`: is named otherwise than its up script `6_x.up.sql`",
        "`6_y.down.sql`: statement 2, line 2: `.read` is a command for the client sqlite3, not for a server",
        "`6_y.down.sql`: statement 3, line 3: `.quit` is a command for the client sqlite3, not for a server",
        "`7_nul.up.sql`: holds a NUL character",
        "`8_open.up.sql`: a string that begins on line 2 has no end",
        "`9_both.up.sql`: line 2: `migrate:down` is of a layout that has up and down in one file, which is not read",
        "`V9__flyway.sql`: the name ends neither in `.up.sql` nor in `.down.sql`",
        "`archive/1_old.up.sql`: stands in a folder, and migrations are not looked for in it",
        "`x_y.up.sql`: the version before the first `_` is not a number",
    ];
    for expected in expected {
        assert!(found.iter().any(|problem| problem == expected), "{expected} not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_a_layout_does_not_have_is_refused_by_name() {
    for (layout, path, text, expected) in [
        (Layout::Flyway, "R__views.sql", "SELECT 1", "repeats"),
        (Layout::Flyway, "B5__base.sql", "SELECT 1", "stands for the migrations before it"),
        (Layout::Flyway, "U1__back.sql", "SELECT 1", "has no up script"),
        (Layout::Flyway, "V1__code.java", "", "is no SQL"),
        (Layout::Flyway, "V1-2__x.sql", "SELECT 1", "between `V` and `__` is no number"),
        (Layout::Flyway, "afterMigrate.sql", "SELECT 1", "the name is not `V<version>__<name>.sql`"),
        (Layout::Flyway, "V1__x.sql", "SELECT '${schema}'", "`${schema}` is a placeholder"),
        (
            Layout::Flyway,
            "V1__x.sql.conf",
            "executeInTransaction=no\n\nencoding=latin1",
            "line 3: `encoding=latin1` is not supported",
        ),
        (Layout::Flyway, "V1__x.sql.conf", "executeInTransaction=no", "line 1: `no` is neither"),
        (Layout::Diesel, "1_a/metadata.toml", "run_in_transaction", "line 1: has no `=`"),
        (Layout::Diesel, "1_a/other.sql", "SELECT 1", "is neither `up.sql` nor `down.sql`"),
        (Layout::Diesel, "a/1_a/up.sql", "SELECT 1", "stands in a folder inside a folder"),
        (Layout::Diesel, "1.2_a/up.sql", "SELECT 1", "is not a number"),
        (Layout::Popx, "1_a.oracle.up.sql", "SELECT 1", "`oracle` is no dialect that is known"),
        (Layout::Popx, "1_a.up.fizz", "", "is no SQL"),
        (Layout::Sqlx, "schema.sql", "SELECT 1", "has no `_` after the version"),
        (Layout::Sqlx, "1_a.sql", "SELECT 1;\n-- +goose Down\n", "line 2: `+goose ` is of a layout"),
    ] {
        let found = problems(layout, Dialect::Postgres, vec![file(path, text)]);
        let named =
            |problem: &String| problem.starts_with(&format!("`{path}`: ")) && problem.contains(expected);
        assert!(found.iter().any(named), "{layout:?} {path}: {expected} not in {found:?}");
    }
}

#[test]
fn popx_files_of_one_version_dialect_and_direction_are_told_of() {
    let found = problems(
        Layout::Popx,
        Dialect::Mysql,
        vec![file("1_a.mysql.up.sql", "SELECT 1"), file("1_a.mysql.autocommit.up.sql", "SELECT 1")],
    );
    assert_eq!(found, ["`1_a.mysql.up.sql`: has the same version as `1_a.mysql.autocommit.up.sql`"]);
}

#[test]
fn line_ends_change_the_digest_of_bytes_and_not_that_of_the_text() {
    let read = |text: &str| Body::read(Dialect::Postgres, "x", text.as_bytes(), Transaction).unwrap();
    let (unix, windows) = (read("SELECT 1;\nSELECT 2;\n"), read("SELECT 1;\r\nSELECT 2;\r\n"));
    assert_eq!(unix.digest, windows.digest);
    assert_eq!(unix.statements, windows.statements);
    assert_ne!(unix.sha384, windows.sha384);
    assert_ne!(unix.digest, read("SELECT 1;\nSELECT 3;\n").digest);
    // As `sha384sum` has it.
    let hex: String = read("SELECT 1").sha384.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, SHA384_OF_SELECT_1);
}

#[test]
fn the_callers_own_refusals_are_among_the_problems() {
    let entries = vec![file("1_a.up.sql", "SELECT 1;\nDROP TABLE ours"), file("2_b.up.sql", "")];
    let refuse = |statement: &Statement| statement.text.contains("ours").then(|| "is ours".to_owned());
    let found = read(Layout::Sqlx, Dialect::Postgres, entries, refuse).unwrap_err().to_string();
    assert!(
        found.contains("`1_a.up.sql`: statement 2, line 2: is ours") && found.contains("`2_b.up.sql`"),
        "{found}"
    );
}

#[test]
fn files_and_folders_beyond_the_bounds_are_refused() {
    let large = vec![b' '; crate::MAX_FILE_BYTES + 1];
    let found = Body::read(Dialect::Postgres, "x", &large, Transaction).unwrap_err().to_string();
    assert!(found.contains("67108865 bytes"), "{found}");
    let many = "x;".repeat(crate::MAX_STATEMENTS + 1);
    let found = Body::read(Dialect::Postgres, "x", many.as_bytes(), Transaction).unwrap_err().to_string();
    assert!(found.contains("more than 1000000 statements"), "{found}");
    let files = (0..=MAX_FILES).map(|number| file(&format!("{number}_x.up.sql"), "SELECT 1")).collect();
    let found = problems(Layout::Sqlx, Dialect::Postgres, files);
    assert_eq!(found, ["`folder`: has more than 100000 files"]);
}

#[test]
fn layouts_are_told_by_what_only_they_have() {
    for (paths, layout) in [
        (&["2024-01-02-030405_a b/up.sql", "2024-01-02-030405_a b/metadata.toml"][..], Layout::Diesel),
        (&["1_a/down.sql", "README.md", "diesel.toml"], Layout::Diesel),
        (&["V1__a.sql", "x/U1.2__b.sql", "V1__a.sql.conf"], Layout::Flyway),
        (&["R__views.sql"], Layout::Flyway),
        (&["1_a.sql", "2_b.up.sql", "2_b.down.sql"], Layout::Sqlx),
        (&["1_a.up.sql", "1_a.down.sql"], Layout::Sqlx),
        (&["1_a.v2.up.sql", "1_a.v2.down.sql"], Layout::Sqlx),
        (&["1_a.up.sql", "2_b.autocommit.up.sql"], Layout::Popx),
        (&["1_a.up.sql", "1_a.sqlite3.up.sql"], Layout::Popx),
        (&["1_a.mysql.autocommit.down.sql"], Layout::Popx),
        (&[], Layout::Sqlx),
    ] {
        assert_eq!(Layout::detect(paths.iter().map(Path::new)).unwrap(), layout, "{paths:?}");
    }
    let mixed = ["1_a.up.sql", "2_b/up.sql", "3_c.sql", "V4__d.sql", "5_e/up.sql"];
    let found = Layout::detect(mixed.iter().map(Path::new)).unwrap_err();
    let fields: Vec<_> = found.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["3_c.sql", "V4__d.sql"]);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_a_problem() {
    use std::os::unix::ffi::OsStringExt as _;
    let path = PathBuf::from(std::ffi::OsString::from_vec(b"1_\xff.up.sql".to_vec()));
    let entries = vec![Entry { path, bytes: b"SELECT 1".to_vec() }];
    let found = problems(Layout::Sqlx, Dialect::Postgres, entries);
    assert!(found[0].ends_with("the name is not UTF-8"), "{found:?}");
}

proptest! {
    #[test]
    fn any_folder_is_read_or_refused_and_read_versions_rise(
        files in proptest::collection::vec(
            ("([0-9]{1,3}|V[0-9][._]?[0-9]?_|x)_?[a-b]?[ /]?(\\.mysql|\\.autocommit)?(\\.up|\\.down|/up|/down)?\\.(sql|conf|toml)", ".{0,20}"),
            0..12,
        )
    ) {
        let entries: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
        let _ = Layout::detect(entries.iter().map(|entry| entry.path.as_path()));
        for layout in [Layout::Sqlx, Layout::Diesel, Layout::GolangMigrate, Layout::Popx, Layout::Flyway] {
            for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
                if let Ok(scripts) = read(layout, dialect, entries.clone(), |_| None) {
                    prop_assert!(scripts.windows(2).all(|pair| pair[0].version < pair[1].version));
                }
            }
        }
    }
}
