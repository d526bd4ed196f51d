//! What stands in a database: its objects, its rows, its references.

use std::collections::{BTreeMap, BTreeSet};

use flow_core::{Digest, ErrorKind, StepError};
use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{Column as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use crate::client::Session;
use crate::proof::{Contents, Table};
use crate::rows::{RowSum, Value};
use crate::schema::{Object, Schema};

const OBJECTS: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master
    WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name <> '_flow_migrations'";

/// Every table that holds rows of its own, SQLite's and ours included; a virtual table's rows are in its shadows.
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name";

const VIOLATIONS: &str = "SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2";

/// Tables that refer to a table that is not there. Without rows in them no check of the rows would find it.
const DANGLING: &str = "SELECT child.name, reference.\"table\"
    FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS reference
    WHERE child.type = 'table' AND NOT EXISTS (SELECT 1 FROM sqlite_master AS parent
        WHERE parent.type = 'table' AND lower(parent.name) = lower(reference.\"table\"))";

/// The schema now.
pub(crate) async fn schema(session: &mut Session) -> Result<Schema, StepError> {
    let rows = session.fetch(OBJECTS, SqliteArguments::default()).await?;
    let object = |row: &SqliteRow| {
        Ok(Object { kind: text(row, 0)?, name: text(row, 1)?, table: text(row, 2)?, sql: text(row, 3)? })
    };
    Ok(Schema::new(rows.iter().map(object).collect::<Result<Vec<_>, StepError>>()?))
}

/// The schema, and every table with its rows.
pub(crate) async fn contents(session: &mut Session) -> Result<Contents, StepError> {
    let mut tables = Vec::new();
    for name in tables_with_rows(session).await? {
        let (rows, digest) = rows_of(session, &name).await?;
        tables.push(Table { name, rows, digest });
    }
    Ok(Contents { schema: schema(session).await?, tables })
}

/// How many rows each table has.
pub(crate) async fn counts(session: &mut Session) -> Result<BTreeMap<String, u64>, StepError> {
    let mut counts = BTreeMap::new();
    for name in tables_with_rows(session).await? {
        let rows = count(session, &name).await?;
        counts.insert(name, rows);
    }
    Ok(counts)
}

/// How many rows `table` has.
async fn count(session: &mut Session, table: &str) -> Result<u64, StepError> {
    let answer = format!("SELECT count(*) FROM main.{}", quoted(table));
    number(session, &answer).await
}

/// How many rows this connection inserted, updated and deleted since it was opened.
pub(crate) async fn changes(session: &mut Session) -> Result<u64, StepError> {
    number(session, "SELECT total_changes()").await
}

/// What SQLite itself finds wrong with the file, if anything.
pub(crate) async fn damage(session: &mut Session) -> Result<Option<String>, StepError> {
    let rows = session.fetch("PRAGMA integrity_check(1)", SqliteArguments::default()).await?;
    let found = rows.first().map(|row| text(row, 0)).transpose()?.unwrap_or_default();
    Ok((found != "ok").then_some(found))
}

/// What is wrong with the references between tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References {
    tables: BTreeSet<String>,
    /// How many rows of a table refer to no row of another. None where SQLite cannot check them.
    violations: Option<BTreeMap<(String, String), u64>>,
    dangling: BTreeSet<(String, String)>,
}

impl References {
    pub(crate) async fn read(session: &mut Session) -> Result<Self, StepError> {
        let pair = |row: &SqliteRow| Ok::<_, StepError>((text(row, 0)?, text(row, 1)?));
        let tables = tables_with_rows(session).await?.into_iter().collect();
        let dangling = session.fetch(DANGLING, SqliteArguments::default()).await?;
        let dangling = dangling.iter().map(pair).collect::<Result<_, _>>()?;
        let violations = match session.fetch(VIOLATIONS, SqliteArguments::default()).await {
            Ok(rows) => {
                let counted = |row: &SqliteRow| Ok::<_, StepError>((pair(row)?, unsigned(row, 2)?));
                Some(rows.iter().map(counted).collect::<Result<_, _>>()?)
            }
            // A reference to columns that are no key: SQLite refuses the check itself.
            Err(error) if error.kind() == ErrorKind::Failed => None,
            Err(error) => return Err(error),
        };
        Ok(Self { tables, violations, dangling })
    }

    /// What is worse than `before`, one sentence each.
    pub(crate) fn worse_than(&self, before: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        if self.violations.is_none() && before.violations.is_some() {
            worse.push("a foreign key refers to columns that are no key".to_owned());
        }
        for ((child, parent), rows) in self.violations.iter().flatten() {
            let key = (child.clone(), parent.clone());
            let known = before.violations.as_ref().is_none_or(|known| known.get(&key) >= Some(rows));
            if !known {
                worse.push(format!("{rows} rows of `{child}` refer to no row of `{parent}`"));
            }
        }
        for (child, parent) in self.dangling.difference(&before.dangling) {
            // A new table may refer to one that a later migration adds.
            if before.tables.contains(child) {
                worse.push(format!("`{child}` now refers to `{parent}`, which is not there"));
            }
        }
        worse
    }
}

async fn tables_with_rows(session: &mut Session) -> Result<Vec<String>, StepError> {
    let rows = session.fetch(TABLES, SqliteArguments::default()).await?;
    rows.iter().map(|row| text(row, 0)).collect()
}

async fn rows_of(session: &mut Session, table: &str) -> Result<(u64, Digest), StepError> {
    let mut sum = RowSum::default();
    let mut columns = Vec::new();
    let select = format!("SELECT * FROM main.{}", quoted(table));
    let mut rows = session.stream(&select);
    while let Some(row) = rows.try_next().await? {
        if columns.is_empty() {
            columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        }
        let mut values = Vec::with_capacity(columns.len());
        for index in 0..row.columns().len() {
            values.push(value(row.try_get_raw(index).map_err(unreadable)?)?);
        }
        sum.add(values);
    }
    Ok((sum.rows(), sum.digest(&columns)))
}

/// The value as it is stored: not its column's type, and text as its bytes, valid or not.
fn value(raw: SqliteValueRef<'_>) -> Result<Value<'_>, StepError> {
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let stored = match raw.type_info().name() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(raw).map(Value::Integer),
        "REAL" => <f64 as Decode<Sqlite>>::decode(raw).map(Value::Real),
        "TEXT" => <&[u8] as Decode<Sqlite>>::decode(raw).map(Value::Text),
        _ => <&[u8] as Decode<Sqlite>>::decode(raw).map(Value::Blob),
    };
    stored.map_err(unreadable)
}

async fn number(session: &mut Session, select: &str) -> Result<u64, StepError> {
    let row = session.stream(select).try_next().await?;
    row.map_or(Ok(0), |row| unsigned(&row, 0))
}

fn text(row: &SqliteRow, index: usize) -> Result<String, StepError> {
    row.try_get_unchecked(index).map_err(unreadable)
}

fn unsigned(row: &SqliteRow, index: usize) -> Result<u64, StepError> {
    let number: i64 = row.try_get_unchecked(index).map_err(unreadable)?;
    u64::try_from(number).map_err(unreadable)
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "a value of the database cannot be read").because(error)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The answer to a consistency query: columns joined by `|`, rows by line feeds.
pub(crate) async fn answer(session: &mut Session, query: &str) -> Result<String, StepError> {
    const ROWS_MAX: usize = 100;
    let mut lines = Vec::new();
    let mut rows = session.stream(query);
    while let Some(row) = rows.try_next().await? {
        if lines.len() == ROWS_MAX {
            lines.push("..".to_owned());
            break;
        }
        let mut columns = Vec::new();
        for index in 0..row.columns().len() {
            columns.push(display(value(row.try_get_raw(index).map_err(unreadable)?)?));
        }
        lines.push(columns.join("|"));
    }
    Ok(lines.join("\n"))
}

fn display(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Blob(blob) => format!("{} bytes", blob.len()),
    }
}
