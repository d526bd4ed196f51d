//! Reads a folder's files into migrations. Pure: the files' bytes come from outside.

use std::collections::BTreeMap;

use flow_core::Problems;

use super::name::{self, Direction, Named};
use super::side::{Settings, Switch};
use super::{Entry, Layout};
use crate::dialect::Dialect;
use crate::directive::Directives;
use crate::script::{Body, Mode, Script, add_refusals};
use crate::split::Statement;
use crate::version::Version;

/// How many files a folder may have.
pub const MAX_FILES: usize = 100_000;

/// Reads every migration of a folder, in the order of their versions. `refuse` says why a statement may not stand in any of them, beside
/// what [`Statement::refusal`] says.
///
/// # Errors
/// Every problem of every file; the field is the file's path.
///
/// ```
/// use flow_sql::{Dialect, Entry, Layout, Mode, read};
///
/// let file = |path: &str, sql: &str| Entry { path: path.into(), bytes: sql.into() };
/// let entries = [
///     file("10_index.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);"),
///     file("9_table.up.sql", "CREATE TABLE t (a int);"),
///     file("9_table.down.sql", "DROP TABLE t;"),
/// ];
/// let scripts = read(Layout::Sqlx, Dialect::Postgres, entries, |_| None)?;
/// assert_eq!(scripts[0].version.as_str(), "9");
/// assert!(scripts[0].down.is_some());
/// assert_eq!(scripts[1].up.mode, Mode::Statements);
/// # Ok::<(), flow_core::Problems>(())
/// ```
pub fn read(
    layout: Layout,
    dialect: Dialect,
    entries: impl IntoIterator<Item = Entry>,
    refuse: impl Fn(&Statement) -> Option<String>,
) -> Result<Vec<Script>, Problems> {
    let mut entries: Vec<_> = entries.into_iter().filter(|entry| Entry::is_wanted(&entry.path)).collect();
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    let mut reading = Reading { layout, dialect, refuse, problems: Problems::default() };
    if entries.len() > MAX_FILES {
        reading.problems.add("folder", format!("has more than {MAX_FILES} files"));
        return Err(reading.problems);
    }
    let settings = reading.settings(&entries);
    let mut versions: BTreeMap<Version, Vec<Parsed>> = BTreeMap::new();
    for parsed in entries.iter().filter_map(|entry| reading.parse(entry, &settings)) {
        versions.entry(parsed.named.version.clone()).or_default().push(parsed);
    }
    let scripts = versions.into_values().filter_map(|files| reading.pair(files)).collect();
    reading.problems.into_result().map(|()| scripts)
}

struct Reading<F> {
    layout: Layout,
    dialect: Dialect,
    refuse: F,
    problems: Problems,
}

struct Parsed {
    file: String,
    named: Named,
    body: Option<Body>,
}

impl<F: Fn(&Statement) -> Option<String>> Reading<F> {
    /// What the files beside scripts say, by what they stand beside: a folder of diesel's, or a script of Flyway's.
    fn settings(&mut self, entries: &[Entry]) -> BTreeMap<String, Settings> {
        let mut settings = BTreeMap::new();
        for entry in entries {
            let Some(path) = entry.path.to_str() else { continue };
            let (beside, read) = match self.layout {
                Layout::Diesel => (path.strip_suffix("/metadata.toml"), Settings::metadata(&entry.bytes)),
                Layout::Flyway => (
                    path.strip_suffix(".conf").filter(|path| path.ends_with(".sql")),
                    Settings::conf(&entry.bytes),
                ),
                Layout::Sqlx | Layout::GolangMigrate | Layout::Popx => return settings,
            };
            match (beside, read) {
                (Some(beside), Ok(read)) => drop(settings.insert(beside.to_owned(), read)),
                (Some(_), Err(found)) => {
                    found.into_iter().for_each(|problem| self.problems.add(path, problem));
                }
                (None, _) => {}
            }
        }
        settings
    }

    fn parse(&mut self, entry: &Entry, settings: &BTreeMap<String, Settings>) -> Option<Parsed> {
        let Some(file) = entry.path.to_str() else {
            self.problems.add(entry.path.to_string_lossy(), "the name is not UTF-8");
            return None;
        };
        let mut named = match name::parse(self.layout, self.dialect, file) {
            Ok(named) => named?,
            Err(problem) => {
                self.problems.add(file, problem);
                return None;
            }
        };
        let beside = if self.layout == Layout::Diesel { file.rsplit_once('/')?.0 } else { file };
        let settings = settings.get(beside).copied().unwrap_or(Settings::NONE);
        let marked = self.layout == Layout::Sqlx && entry.bytes.starts_with(b"-- no-transaction");
        if marked || settings.transaction == Some(Switch::Off) {
            named.mode = Mode::Statements;
        }
        // A file whose content is wrong still takes part in the pairing, so that all its problems are found at once.
        let body = self.body(file, &entry.bytes, named.mode);
        if let Some(body) = &body
            && self.layout == Layout::Flyway
            && settings.placeholders == Switch::On
            && let Some(placeholder) = placeholder(&body.text)
        {
            self.problems.add(file, format!("`{placeholder}` is a placeholder, and nothing takes its place"));
        }
        Some(Parsed { file: file.to_owned(), named, body })
    }

    fn body(&mut self, file: &str, bytes: &[u8], mode: Mode) -> Option<Body> {
        match Body::read(self.dialect, file, bytes, mode) {
            Ok(body) => {
                add_refusals(&mut self.problems, file, &body.statements, &self.refuse);
                Some(body)
            }
            Err(found) => {
                for problem in found.as_slice() {
                    self.problems.add(&problem.field, &problem.problem);
                }
                None
            }
        }
    }

    fn pair(&mut self, files: Vec<Parsed>) -> Option<Script> {
        let (ups, downs): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.named.direction == Direction::Up);
        let (up, down) = (self.narrowest(ups), self.narrowest(downs));
        let Some(up) = up else {
            if let Some(down) = down {
                self.problems.add(down.file, "has no up script");
            }
            return None;
        };
        // Flyway's names are free; elsewhere another name is another migration.
        if let Some(down) = down.as_ref().filter(|down| down.named.name != up.named.name)
            && self.layout != Layout::Flyway
        {
            self.problems.add(&down.file, format!("is named otherwise than its up script `{}`", up.file));
        }
        let Named { version, name, .. } = up.named;
        let body = up.body?;
        // popx says by an empty file that there is nothing to do on a server.
        if body.is_blank() && self.layout != Layout::Popx {
            self.problems.add(&up.file, "holds no statement");
        }
        let Directives { phase, backfill } =
            Directives::read(self.dialect, &up.file, &body, &mut self.problems);
        let down = down.and_then(|down| {
            let body = down.body?;
            Directives::refuse(&down.file, &body, &mut self.problems);
            Some(body)
        });
        Some(Script { version, name, up: body, down, phase, backfill })
    }

    /// The one of `files`, all of one version and direction, that goes before the others. Two alike are a problem.
    fn narrowest(&mut self, files: Vec<Parsed>) -> Option<Parsed> {
        let reach = files.iter().map(|file| file.named.reach).max()?;
        let mut files = files.into_iter().filter(|file| file.named.reach == reach);
        let first = files.next()?;
        for other in files {
            self.problems.add(other.file, format!("has the same version as `{}`", first.file));
        }
        Some(first)
    }
}

/// The first of Flyway's `${name}`.
fn placeholder(text: &str) -> Option<&str> {
    text.match_indices("${").find_map(|(at, _)| {
        let found = text.get(at..)?;
        let end = found.find('}')?;
        let name = found.get(2..end)?;
        let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.:-".contains(c));
        if named { found.get(..=end) } else { None }
    })
}

#[cfg(test)]
mod tests;
