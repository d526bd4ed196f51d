use std::collections::BTreeMap;
use std::fmt;

use flow_core::port::MigrationScript;
use flow_core::{Digest, ErrorKind, StepError};

/// One statement of a migration, of the few kinds that a [`FakeMigrator`](super::FakeMigrator) understands.
///
/// Shown, it is SQL that SQLite, PostgreSQL and MySQL read alike, so that one list of migrations can be given to a fake and
/// to a real database. Names of tables are plain identifiers; each table has a number `id`, its key, and a text `note`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statement {
    /// Makes an empty table. Fails where there is one.
    CreateTable(String),
    /// Removes a table with its rows. Fails where there is none.
    DropTable(String),
    /// Adds a row. Fails without the table, and where it has a row of this id.
    AddRow {
        /// The table.
        table: String,
        /// The row's key.
        id: u32,
        /// The row's text.
        note: String,
    },
    /// Removes a row if it is there. Fails without the table.
    RemoveRow {
        /// The table.
        table: String,
        /// The row's key.
        id: u32,
    },
}

impl Statement {
    /// Makes the table `table`.
    pub fn create(table: impl Into<String>) -> Self {
        Self::CreateTable(table.into())
    }

    /// Removes the table `table`.
    pub fn drop(table: impl Into<String>) -> Self {
        Self::DropTable(table.into())
    }

    /// Adds a row to `table`.
    pub fn add(table: impl Into<String>, id: u32, note: impl Into<String>) -> Self {
        Self::AddRow { table: table.into(), id, note: note.into() }
    }

    /// Removes a row from `table`.
    pub fn remove(table: impl Into<String>, id: u32) -> Self {
        Self::RemoveRow { table: table.into(), id }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable(table) => {
                write!(f, "CREATE TABLE {table} (id INTEGER PRIMARY KEY, note VARCHAR(100))")
            }
            Self::DropTable(table) => write!(f, "DROP TABLE {table}"),
            Self::AddRow { table, id, note } => {
                write!(f, "INSERT INTO {table} (id, note) VALUES ({id}, '{}')", note.replace('\'', "''"))
            }
            Self::RemoveRow { table, id } => write!(f, "DELETE FROM {table} WHERE id = {id}"),
        }
    }
}

/// One migration: what it does, and how it is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    version: String,
    up: Vec<Statement>,
    down: Option<Vec<Statement>>,
}

impl Migration {
    /// A migration that carries out `up` and has no way back.
    pub fn new(version: impl Into<String>, up: impl IntoIterator<Item = Statement>) -> Self {
        Self { version: version.into(), up: up.into_iter().collect(), down: None }
    }

    /// Gives it the way back `down`.
    #[must_use]
    pub fn undone_by(mut self, down: impl IntoIterator<Item = Statement>) -> Self {
        self.down = Some(down.into_iter().collect());
        self
    }

    /// A migration that makes `table`, and removes it again.
    pub fn table(version: impl Into<String>, table: &str) -> Self {
        Self::new(version, [Statement::create(table)]).undone_by([Statement::drop(table)])
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What its file name says after the version.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        "change"
    }

    /// Its up script as SQL.
    #[must_use]
    pub fn up(&self) -> String {
        script(&self.up)
    }

    /// Its down script as SQL; none where there is no way back.
    #[must_use]
    pub fn down(&self) -> Option<String> {
        self.down.as_deref().map(script)
    }

    /// What a migrator says of it.
    #[must_use]
    pub fn script(&self) -> MigrationScript {
        MigrationScript {
            version: self.version.clone(),
            name: self.name().to_owned(),
            up: Digest::of(self.up().as_bytes()),
            down: self.down().map(|down| Digest::of(down.as_bytes())),
        }
    }

    pub(super) fn up_statements(&self) -> &[Statement] {
        &self.up
    }

    pub(super) fn down_statements(&self) -> Option<&[Statement]> {
        self.down.as_deref()
    }

    /// Where it stands in the order: numbers by their value, whatever their width, and anything else by its text.
    pub(super) fn order(&self) -> (usize, String) {
        order(&self.version)
    }
}

/// Numbers of any length compare by value: the longer one without its zeros is the larger.
pub(super) fn order(version: &str) -> (usize, String) {
    let number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let text = if number { version.trim_start_matches('0') } else { version };
    (if number { text.len() } else { usize::MAX }, text.to_owned())
}

fn script(statements: &[Statement]) -> String {
    statements.iter().map(|statement| format!("{statement};\n")).collect()
}

/// Tables, each with its rows by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables(pub(super) BTreeMap<String, BTreeMap<u32, String>>);

impl Tables {
    /// Carries out `statements` as one transaction.
    pub(super) fn transact(&mut self, statements: &[Statement]) -> Result<(), StepError> {
        let mut after = self.clone();
        for (number, statement) in (1..).zip(statements) {
            after.run(statement).map_err(|error| error.fact("statement", number))?;
        }
        *self = after;
        Ok(())
    }

    fn run(&mut self, statement: &Statement) -> Result<(), StepError> {
        let failed =
            |what: &'static str, table: &String| StepError::new(ErrorKind::Failed, what).fact("table", table);
        match statement {
            Statement::CreateTable(table) if self.0.contains_key(table) => {
                return Err(failed("the table is there already", table));
            }
            Statement::CreateTable(table) => {
                self.0.insert(table.clone(), BTreeMap::new());
            }
            Statement::DropTable(table) => {
                self.0.remove(table).ok_or_else(|| failed("there is no such table", table))?;
            }
            Statement::AddRow { table, id, note } => {
                let rows = self.0.get_mut(table).ok_or_else(|| failed("there is no such table", table))?;
                if rows.contains_key(id) {
                    return Err(failed("the table has such a row already", table).fact("id", id));
                }
                rows.insert(*id, note.clone());
            }
            Statement::RemoveRow { table, id } => {
                self.0.get_mut(table).ok_or_else(|| failed("there is no such table", table))?.remove(id);
            }
        }
        Ok(())
    }

    /// The digest of the schema: the tables without their rows.
    pub(super) fn schema(&self) -> Digest {
        Digest::of(format!("{:?}", self.0.keys()).as_bytes())
    }

    /// Each table with its number of rows and their digest.
    pub(super) fn digests(&self) -> Vec<(String, u64, Digest)> {
        let count = |rows: &BTreeMap<u32, String>| u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let digest = |rows: &BTreeMap<u32, String>| Digest::of(format!("{rows:?}").as_bytes());
        self.0.iter().map(|(table, rows)| (table.clone(), count(rows), digest(rows))).collect()
    }
}
