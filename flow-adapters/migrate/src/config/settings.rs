//! What the adapter is told, checked once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{Name, Problems};
use flow_sql::{Dialect, Layout, split};

use super::Target;
use crate::backup::BackupSettings;

const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Everything that [`SqlMigrations`](crate::SqlMigrations) needs to know.
///
/// [`SqlConfig::new`] sets what most databases need; the rest is set by field:
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::name;
/// use flow_migrate::{SqlConfig, Target, Waits};
///
/// let config = SqlConfig {
///     waits: Waits { migrators: Duration::from_secs(600), ..Waits::default() },
///     ..SqlConfig::new(Target::sqlite("app.db"), "migrations", "backups", name!("app-db"))
/// };
/// assert!(config.checks.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct SqlConfig {
    /// The database. The application may use it meanwhile.
    pub target: Target,
    /// The directory of the scripts.
    pub scripts: PathBuf,
    /// How it is laid out; none to tell by its files.
    pub layout: Option<Layout>,
    /// Where backups are kept and rehearsals take place: room for three copies of the database. Made with mode 0700 if it is missing.
    pub backups: PathBuf,
    /// The consistency queries that are asked after the migrations.
    pub checks: Vec<ConsistencyQuery>,
    /// The database, as a resource that no other run may touch meanwhile.
    pub resource: Name,
    /// What a missing database file means. A server's database must be there.
    pub missing: MissingDatabase,
    /// How long to wait for what.
    pub waits: Waits,
    /// How backups are made, sealed and kept.
    pub backup: BackupSettings,
}

/// How long to wait for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// For other migrators to finish, before the call ends as unavailable and names who holds the lock.
    pub migrators: Duration,
    /// For the application's locks on a table, each attempt: whoever comes later waits behind a migration that waits.
    pub tables: Duration,
    /// How often a migration is attempted again that met the application's locks, with a pause between.
    pub attempts: u32,
    /// For one statement to end; none for as long as it takes.
    pub statement: Option<Duration>,
    /// How old another session's open transaction may be before no migration is begun beside it.
    pub transactions: Duration,
}

impl Default for Waits {
    /// A minute for migrators, ten attempts of two seconds each for locks, any time for a statement, and five minutes for transactions.
    fn default() -> Self {
        Self {
            migrators: Duration::from_secs(60),
            tables: Duration::from_secs(2),
            attempts: 10,
            statement: None,
            transactions: Duration::from_secs(300),
        }
    }
}

/// What a missing database file means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingDatabase {
    /// A mistake: every call says that it was not found.
    #[default]
    Refuse,
    /// A database that has nothing in it yet: backing up and applying create it.
    Create,
}

/// A question about the data whose answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyQuery {
    /// The check's name.
    pub name: Name,
    /// One statement that reads.
    pub sql: String,
    /// The answer of consistent data: columns joined by `|`, rows by line feeds, `NULL` for null.
    pub expect: String,
}

impl SqlConfig {
    /// A configuration without consistency queries that refuses a missing database.
    pub fn new(
        target: Target,
        scripts: impl Into<PathBuf>,
        backups: impl Into<PathBuf>,
        resource: Name,
    ) -> Self {
        Self {
            target,
            scripts: scripts.into(),
            layout: None,
            backups: backups.into(),
            checks: Vec::new(),
            resource,
            missing: MissingDatabase::default(),
            waits: Waits::default(),
            backup: BackupSettings::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        self.target.check(&mut problems);
        self.backup.check(&self.target, &mut problems);
        check_path(&mut problems, "backups", &self.backups);
        problems.check(!self.scripts.as_os_str().is_empty(), "scripts", "is empty");
        for (field, wait) in [
            ("waits.migrators", self.waits.migrators),
            ("waits.tables", self.waits.tables),
            ("waits.statement", self.waits.statement.unwrap_or_default()),
        ] {
            problems.check(wait <= WAIT_MAX, field, "is longer than a day");
        }
        problems.check(self.waits.attempts > 0, "waits.attempts", "is none");
        for (index, query) in self.checks.iter().enumerate() {
            let field = format!("checks[{index}]");
            let earlier = self.checks.iter().take(index);
            if earlier.into_iter().any(|other| other.name == query.name) {
                problems.add(format!("{field}.name"), format!("`{}` is there twice", query.name));
            }
            if let Some(problem) = problem_of_query(self.target.dialect(), &query.sql) {
                problems.add(format!("{field}.sql"), problem);
            }
        }
        problems.into_result()
    }
}

/// SQLite takes some texts for something else than a path.
pub(super) fn check_path(problems: &mut Problems, field: &str, path: &Path) {
    let Some(text) = path.to_str() else {
        return problems.add(field, "is not UTF-8, which SQLite asks of its paths");
    };
    problems.check(!text.is_empty(), field, "is empty");
    problems.check(!text.contains('\0'), field, "holds a NUL character");
    problems.check(
        !text.starts_with(':') && !text.starts_with("file:"),
        field,
        "begins with `:` or `file:`, which SQLite does not take for a path; write `./` before it",
    );
}

fn problem_of_query(dialect: Dialect, sql: &str) -> Option<String> {
    if sql.contains('\0') {
        return Some("holds a NUL character".to_owned());
    }
    match split(dialect, sql) {
        Ok(statements) if statements.len() == 1 => None,
        Ok(statements) => Some(format!("holds {} statements instead of one", statements.len())),
        Err(unfinished) => Some(unfinished.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    #[test]
    fn every_problem_is_found_at_once() {
        let query =
            |sql: &str| ConsistencyQuery { name: name!("q"), sql: sql.to_owned(), expect: String::new() };
        let config = SqlConfig {
            checks: vec![query("SELECT 1"), query(""), query("SELECT 1; SELECT 2"), query("SELECT '")],
            waits: Waits { tables: Duration::MAX, attempts: 0, ..Waits::default() },
            ..SqlConfig::new(Target::sqlite(":memory:"), "", "file:x", name!("db"))
        };
        let problems = config.check().unwrap_err();
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "database",
            "backups",
            "scripts",
            "waits.tables",
            "waits.attempts",
            "checks[1].name",
            "checks[1].sql",
            "checks[2].name",
            "checks[2].sql",
            "checks[3].name",
            "checks[3].sql",
        ];
        assert_eq!(fields, expected);
    }
}
