//! What stands in a database: its tables and their rows.

use std::collections::BTreeMap;

use flow_core::{Digest, ErrorKind, StepError};
use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Column as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use super::{SqliteSession, schema};
use crate::engine::{Row, Session};
use crate::proof::{Contents, Table};
use crate::rows::{RowSum, Value};

/// Every table that holds rows of its own, SQLite's and ours included; a virtual table's rows are in its shadows.
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name";

/// The schema, and every table with its rows.
pub(crate) async fn contents(session: &mut SqliteSession) -> Result<Contents, StepError> {
    let mut tables = Vec::new();
    for name in tables_with_rows(session).await? {
        let (rows, digest) = rows_of(session, &name).await?;
        tables.push(Table { name, rows, digest });
    }
    Ok(Contents { schema: schema::read(session).await?, tables })
}

/// How many rows each table has.
pub(crate) async fn counts(session: &mut SqliteSession) -> Result<BTreeMap<String, u64>, StepError> {
    let mut counts = BTreeMap::new();
    for name in tables_with_rows(session).await? {
        let rows = count(session, &name).await?;
        counts.insert(name, rows);
    }
    Ok(counts)
}

/// How many rows `table` has.
async fn count(session: &mut SqliteSession, table: &str) -> Result<u64, StepError> {
    let answer = format!("SELECT count(*) FROM main.{}", quoted(table));
    number(session, &answer).await
}

/// How many rows this connection inserted, updated and deleted since it was opened.
pub(crate) async fn changes(session: &mut SqliteSession) -> Result<u64, StepError> {
    number(session, "SELECT total_changes()").await
}

/// What SQLite itself finds wrong with the file, if anything.
pub(crate) async fn damage(session: &mut SqliteSession) -> Result<Option<String>, StepError> {
    let rows = session.query("PRAGMA integrity_check(1)", &[]).await?;
    let found: String = rows.into_iter().flatten().flatten().collect();
    Ok((found != "ok").then_some(found))
}

async fn tables_with_rows(session: &mut dyn Session) -> Result<Vec<String>, StepError> {
    let rows = session.query(TABLES, &[]).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

async fn rows_of(session: &mut SqliteSession, table: &str) -> Result<(u64, Digest), StepError> {
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

async fn number(session: &mut SqliteSession, select: &str) -> Result<u64, StepError> {
    let row = session.stream(select).try_next().await?;
    row.map_or(Ok(0), |row| unsigned(&row, 0))
}

fn unsigned(row: &SqliteRow, index: usize) -> Result<u64, StepError> {
    let number: i64 = row.try_get_unchecked(index).map_err(unreadable)?;
    u64::try_from(number).map_err(unreadable)
}

pub(super) fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "a value of the database cannot be read").because(error)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// One row as text; of a blob its length.
pub(super) fn texts(row: &SqliteRow) -> Result<Row, StepError> {
    (0..row.len()).map(|index| Ok(display(value(row.try_get_raw(index).map_err(unreadable)?)?))).collect()
}

fn display(value: Value<'_>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Real(real) => Some(format!("{real:?}")),
        Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Value::Blob(blob) => Some(format!("{} bytes", blob.len())),
    }
}
