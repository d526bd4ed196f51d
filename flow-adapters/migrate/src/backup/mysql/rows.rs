//! The digests of all rows.

use flow_core::{Digest, ErrorKind, StepError};

use crate::engine::{Engine, Session};
use crate::proof::{Contents, Table};

const TABLES: &str = "SELECT TABLE_NAME FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME";

const SPATIAL: [&str; 8] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
];

/// What the text of a value depends on.
pub(super) async fn prepare(session: &mut dyn Session) -> Result<(), StepError> {
    session.execute("SET SESSION time_zone = '+00:00', SESSION sql_mode = ''").await?;
    session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await
}

/// Holds on to this moment.
pub(super) async fn begin(session: &mut dyn Session) -> Result<(), StepError> {
    session.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await
}

/// The schema without its events, and every table with its rows. Events are in a backup and not in a restored copy, where they
/// would wake up.
pub(super) async fn contents(engine: &dyn Engine, session: &mut dyn Session) -> Result<Contents, StepError> {
    let mut tables = Vec::new();
    for name in session.query(TABLES, &[]).await?.into_iter().flatten().flatten() {
        let table = table(session, &name).await.map_err(|error| error.fact("table", &name))?;
        tables.push(table);
    }
    Ok(Contents { schema: engine.schema(session).await?.without("event"), tables })
}

async fn table(session: &mut dyn Session, name: &str) -> Result<Table, StepError> {
    let columns = session
        .query(
            "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            &[Some(name)],
        )
        .await?;
    let values: Vec<_> = columns
        .into_iter()
        .filter_map(|row| {
            let mut fields = row.into_iter().flatten();
            Some(value(&fields.next()?, &fields.next()?))
        })
        .collect();
    let rows = session.query(&sums(name, &values), &[]).await?;
    let fields: Vec<_> = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let [rows, hashed, ..] = fields.as_slice() else { return Err(unreadable("no row")) };
    if rows != hashed {
        let message = "a row is longer than the server's `max_allowed_packet` and cannot be compared";
        return Err(StepError::new(ErrorKind::Failed, message));
    }
    let rows = rows.parse().map_err(unreadable)?;
    Ok(Table { name: name.to_owned(), rows, digest: Digest::of(fields.join(" ").as_bytes()) })
}

/// Sums of whole numbers: a sum of doubles hides low digits.
fn sums(table: &str, values: &[String]) -> String {
    let half = |from: u8| format!("SUM(CAST(CONV(SUBSTR(h, {from}, 16), 16, 10) AS UNSIGNED))");
    format!(
        "SELECT COUNT(*), COUNT(h), {}, {} FROM (SELECT SHA2(CONCAT_WS('|', {}), 256) AS h FROM {}) AS whole",
        half(1),
        half(17),
        values.join(", "),
        quoted(table)
    )
}

/// A value's bytes in an unmistakable form. A `FLOAT` shows six digits of those that it has.
fn value(column: &str, data_type: &str) -> String {
    let column = quoted(column);
    let bytes = match data_type {
        "float" => format!("CAST(CAST({column} AS DOUBLE) AS BINARY)"),
        spatial if SPATIAL.contains(&spatial) => column,
        _ => format!("CAST({column} AS BINARY)"),
    };
    format!("COALESCE(CONCAT('V', HEX({bytes})), 'N')")
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "an answer of the server cannot be read").because(error)
}
