//! Reads the layout `NNNN_name.up.sql` and `NNNN_name.down.sql`. Pure: the files' bytes come from outside.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use flow_core::{Digest, Problems};
use flow_sql::{Dialect, Statement, Version, split};

use crate::rules;

/// One entry of the directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) content: Content,
}

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Content {
    File(Vec<u8>),
    Directory,
}

#[cfg(test)]
impl Entry {
    pub(crate) fn file(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.into(), content: Content::File(bytes.to_vec()) }
    }
}

/// One migration with what it does and how to take it back.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) version: Version,
    pub(crate) name: String,
    pub(crate) up: Body,
    pub(crate) down: Option<Body>,
    pub(crate) mode: Mode,
}

/// How a script is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In one transaction, where its statements allow it.
    Transaction,
    /// Each statement by itself.
    Statements,
}

/// One file's content.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// The text with line feeds only, so that another checkout is not an edit.
    pub(crate) text: String,
    pub(crate) digest: Digest,
    pub(crate) statements: Vec<Statement>,
}

impl Body {
    /// Reads `bytes`, or says all that is wrong with them.
    pub(crate) fn read(dialect: Dialect, bytes: &[u8]) -> Result<Self, Vec<String>> {
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(vec!["begins with a byte order mark".to_owned()]);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| vec![format!("is not UTF-8 at byte {}", error.valid_up_to())])?
            .replace("\r\n", "\n");
        // SQLite stops reading at a NUL: what follows it would silently not run.
        if text.contains('\0') {
            return Err(vec!["holds a NUL character".to_owned()]);
        }
        let statements = split(dialect, &text).map_err(|unfinished| vec![unfinished.to_string()])?;
        if statements.is_empty() {
            return Err(vec!["holds no statement".to_owned()]);
        }
        let refused: Vec<_> = (1..)
            .zip(&statements)
            .filter_map(|(number, statement): (u32, _)| {
                // The other engines run by themselves what a transaction cannot hold.
                let refusal = (dialect == Dialect::Sqlite).then(|| rules::refusal(&statement.text))??;
                Some(format!("statement {number}, line {}: {refusal}", statement.line))
            })
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        Ok(Self { digest: Digest::of(text.as_bytes()), text, statements })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug)]
struct Parsed {
    file: String,
    version: Version,
    name: String,
    direction: Direction,
    body: Option<Body>,
}

/// Reads every entry.
///
/// # Errors
/// Every problem of every file; the field is the file's name.
pub(crate) fn read(
    dialect: Dialect,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<Vec<Script>, Problems> {
    let mut problems = Problems::default();
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    let mut versions: BTreeMap<Version, Vec<Parsed>> = BTreeMap::new();
    for parsed in entries.into_iter().filter_map(|entry| parse(dialect, entry, &mut problems)) {
        versions.entry(parsed.version.clone()).or_default().push(parsed);
    }
    let scripts = versions.into_values().filter_map(|files| pair(files, &mut problems)).collect();
    problems.into_result().map(|()| scripts)
}

fn parse(dialect: Dialect, entry: Entry, problems: &mut Problems) -> Option<Parsed> {
    let Some(file) = entry.name.to_str().map(str::to_owned) else {
        problems.add(entry.name.to_string_lossy(), "the name is not UTF-8");
        return None;
    };
    if file.starts_with('.') {
        return None;
    }
    let bytes = match entry.content {
        Content::File(_) if !is_sql(&entry.name) => return None,
        Content::File(bytes) => bytes,
        Content::Directory => {
            problems.add(file, "is a directory, and migrations are not looked for in it");
            return None;
        }
    };
    let (version, name, direction) = match parse_name(&file) {
        Ok(parts) => parts,
        Err(problem) => {
            problems.add(file, problem);
            return None;
        }
    };
    // A file whose content is wrong still takes part in the pairing, so that all its problems are found at once.
    let body = Body::read(dialect, &bytes)
        .map_err(|found| found.into_iter().for_each(|problem| problems.add(file.clone(), problem)))
        .ok();
    Some(Parsed { file, version, name, direction, body })
}

fn is_sql(name: &OsStr) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

fn parse_name(file: &str) -> Result<(Version, String, Direction), &'static str> {
    let (stem, direction) = file
        .strip_suffix(".up.sql")
        .map(|stem| (stem, Direction::Up))
        .or_else(|| file.strip_suffix(".down.sql").map(|stem| (stem, Direction::Down)))
        .ok_or("the name ends neither in `.up.sql` nor in `.down.sql`")?;
    let (version, name) = stem.split_once('_').ok_or("the name has no `_` after the version")?;
    let version = Version::new(version).ok_or("the version before the first `_` is not a number")?;
    if name.trim().is_empty() {
        return Err("there is no name after the version");
    }
    if name.chars().any(char::is_control) {
        return Err("the name holds a control character");
    }
    Ok((version, name.to_owned(), direction))
}

fn pair(files: Vec<Parsed>, problems: &mut Problems) -> Option<Script> {
    let (ups, downs): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.direction == Direction::Up);
    for same in [&ups, &downs] {
        if let [first, others @ ..] = same.as_slice() {
            for other in others {
                problems.add(&other.file, format!("has the same version as `{}`", first.file));
            }
        }
    }
    let (up, down) = (ups.into_iter().next(), downs.into_iter().next());
    let Some(up) = up else {
        if let Some(down) = down {
            problems.add(down.file, "has no up script");
        }
        return None;
    };
    if let Some(down) = down.as_ref().filter(|down| down.name != up.name) {
        problems.add(&down.file, format!("is named otherwise than its up script `{}`", up.file));
    }
    let (version, name, body) = (up.version, up.name, up.body?);
    // sqlx's mark, as the first line.
    let mode = if body.text.starts_with("-- no-transaction") { Mode::Statements } else { Mode::Transaction };
    Some(Script { version, name, up: body, down: down.and_then(|down| down.body), mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(entries: Vec<Entry>) -> Vec<String> {
        read(Dialect::Sqlite, entries).unwrap_err().as_slice().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn versions_order_the_scripts_as_numbers_and_names_may_hold_spaces() {
        let read = read(
            Dialect::Sqlite,
            [
                Entry::file("10_last.up.sql", b"SELECT 1"),
                Entry::file("9_add the users.up.sql", b"SELECT 1"),
                Entry::file("9_add the users.down.sql", b"SELECT 1"),
                Entry::file("20191100000001000000_far.up.sql", b"SELECT 1"),
                Entry::file("README.md", b"\xff"),
                Entry::file(".keep", b""),
            ],
        )
        .unwrap();
        let found: Vec<_> = read
            .iter()
            .map(|script| (script.version.as_str(), script.name.as_str(), script.down.is_some()))
            .collect();
        assert_eq!(
            found,
            [("9", "add the users", true), ("10", "last", false), ("20191100000001000000", "far", false)]
        );
    }

    #[test]
    fn every_problem_of_every_file_is_found_at_once() {
        let found = problems(vec![
            Entry::file("1_a.up.sql", b"SELECT 1"),
            Entry::file("0001_b.up.sql", b"SELECT 1"),
            Entry::file("2_bom.up.sql", b"\xef\xbb\xbfSELECT 1"),
            Entry::file("3_latin.up.sql", b"SELECT '\xe4'"),
            Entry::file("4_empty.up.sql", b"-- nothing\n;"),
            Entry::file("5_alone.down.sql", b"SELECT 1"),
            Entry::file("6_x.up.sql", b"SELECT 1"),
            Entry::file("6_y.down.sql", b"SELECT 1;\nCOMMIT;\nVACUUM"),
            Entry::file("7_nul.up.sql", b"SELECT 1;\0DROP TABLE t"),
            Entry::file("8_open.up.sql", b"SELECT '"),
            Entry::file("V9__flyway.sql", b"SELECT 1"),
            Entry::file("x_y.up.sql", b"SELECT 1"),
            Entry::file("11.up.sql", b"SELECT 1"),
            Entry { name: "archive".into(), content: Content::Directory },
        ]);
        for expected in [
            "`1_a.up.sql`: has the same version as `0001_b.up.sql`",
            "`2_bom.up.sql`: begins with a byte order mark",
            "`3_latin.up.sql`: is not UTF-8 at byte 8",
            "`4_empty.up.sql`: holds no statement",
            "`5_alone.down.sql`: has no up script",
            "`6_y.down.sql`: is named otherwise than its up script `6_x.up.sql`",
            "`6_y.down.sql`: statement 2, line 2: `COMMIT` cannot stand in a migration: it runs in one transaction of its own",
            "`6_y.down.sql`: statement 3, line 3: `VACUUM` cannot stand in a migration: it runs in one transaction of its own",
            "`7_nul.up.sql`: holds a NUL character",
            "`8_open.up.sql`: a string that begins on line 1 has no end",
            "`V9__flyway.sql`: the name ends neither in `.up.sql` nor in `.down.sql`",
            "`x_y.up.sql`: the version before the first `_` is not a number",
            "`11.up.sql`: the name has no `_` after the version",
            "`archive`: is a directory, and migrations are not looked for in it",
        ] {
            assert!(found.iter().any(|problem| problem == expected), "{expected} not in {found:#?}");
        }
        assert_eq!(found.len(), 14, "{found:#?}");
    }
}
