//! What the adapter is told, checked once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{Name, Problems};

use crate::split::split;

/// Everything that [`SqliteMigrations`](crate::SqliteMigrations) needs to know.
///
/// [`SqliteConfig::new`] sets what most databases need; the rest is set by field:
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::name;
/// use flow_migrate::SqliteConfig;
///
/// let config = SqliteConfig {
///     busy_timeout: Duration::from_secs(30),
///     ..SqliteConfig::new("app.db", "migrations", "backups", name!("app-db"))
/// };
/// assert!(config.checks.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. The application may have it open meanwhile.
    pub database: PathBuf,
    /// The directory of the scripts, `NNNN_name.up.sql` and `NNNN_name.down.sql`.
    pub scripts: PathBuf,
    /// Where backups are kept and rehearsals take place: room for three copies of the database. Made with mode 0700 if it is missing.
    pub backups: PathBuf,
    /// The consistency queries that are asked after the migrations.
    pub checks: Vec<ConsistencyQuery>,
    /// The database, as a resource that no other run may touch meanwhile.
    pub resource: Name,
    /// What a missing database file means.
    pub missing: MissingDatabase,
    /// How long to wait for another connection's lock before the call ends as unavailable.
    pub busy_timeout: Duration,
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

impl SqliteConfig {
    /// A configuration without consistency queries that refuses a missing database and waits five seconds for a lock.
    pub fn new(
        database: impl Into<PathBuf>,
        scripts: impl Into<PathBuf>,
        backups: impl Into<PathBuf>,
        resource: Name,
    ) -> Self {
        Self {
            database: database.into(),
            scripts: scripts.into(),
            backups: backups.into(),
            checks: Vec::new(),
            resource,
            missing: MissingDatabase::default(),
            busy_timeout: Duration::from_secs(5),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        check_path(&mut problems, "database", &self.database);
        check_path(&mut problems, "backups", &self.backups);
        problems.check(!self.scripts.as_os_str().is_empty(), "scripts", "is empty");
        problems.check(
            self.busy_timeout <= Duration::from_secs(3600),
            "busy_timeout",
            "is longer than an hour",
        );
        for (index, query) in self.checks.iter().enumerate() {
            let field = format!("checks[{index}]");
            let earlier = self.checks.iter().take(index);
            if earlier.into_iter().any(|other| other.name == query.name) {
                problems.add(format!("{field}.name"), format!("`{}` is there twice", query.name));
            }
            if let Some(problem) = problem_of_query(&query.sql) {
                problems.add(format!("{field}.sql"), problem);
            }
        }
        problems.into_result()
    }
}

/// SQLite takes some texts for something else than a path.
fn check_path(problems: &mut Problems, field: &str, path: &Path) {
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

fn problem_of_query(sql: &str) -> Option<String> {
    if sql.contains('\0') {
        return Some("holds a NUL character".to_owned());
    }
    match split(sql) {
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
        let config = SqliteConfig {
            checks: vec![query("SELECT 1"), query(""), query("SELECT 1; SELECT 2"), query("SELECT '")],
            busy_timeout: Duration::MAX,
            ..SqliteConfig::new(":memory:", "", "file:x", name!("db"))
        };
        let problems = config.check().unwrap_err();
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "database",
            "backups",
            "scripts",
            "busy_timeout",
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
