use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Decode, Row as _, Sqlite, TypeInfo as _,
    ValueRef as _,
};

use super::{both, changed};

/// The schema and the rows of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseState {
    /// The statement of each table, index, view and trigger, to the letter.
    schema: BTreeMap<String, String>,
    tables: BTreeMap<String, Rows>,
}

/// The rows of a table; their order does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    count: usize,
    digest: [u8; 32],
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows ({})", self.count, super::files::hex(&self.digest))
    }
}

impl DatabaseState {
    /// Reads the whole database in one transaction, by a connection that cannot write; nothing where there is no file.
    pub(super) async fn read(path: &Path) -> Result<Option<Self>, sqlx::Error> {
        if !path.exists() {
            return Ok(None);
        }
        let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
        let mut transaction = connection.begin().await?;
        let objects: Vec<(String, String, Option<String>)> =
            sqlx::query_as("SELECT type, name, sql FROM sqlite_schema").fetch_all(&mut *transaction).await?;
        let mut tables = BTreeMap::new();
        for (_, name, _) in objects.iter().filter(|(kind, ..)| kind == "table") {
            tables.insert(name.clone(), rows(&mut transaction, name).await?);
        }
        let schema = objects
            .into_iter()
            .map(|(kind, name, sql)| (format!("{kind} {name}"), sql.unwrap_or_default()))
            .collect();
        transaction.rollback().await?;
        connection.close().await?;
        Ok(Some(Self { schema, tables }))
    }

    /// What `other`, seen later, has otherwise.
    pub(super) fn differences(&self, other: &Self, path: &str) -> Vec<String> {
        let schema = both(&self.schema, &other.schema)
            .filter_map(|(name, before, after)| changed("schema of", name, before, after));
        let tables = both(&self.tables, &other.tables)
            .filter_map(|(name, before, after)| changed("table", name, before, after));
        schema.chain(tables).map(|difference| format!("database `{path}`: {difference}")).collect()
    }
}

async fn rows(connection: &mut SqliteConnection, table: &str) -> Result<Rows, sqlx::Error> {
    let select = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
    let rows = sqlx::raw_sql(AssertSqlSafe(select)).fetch_all(connection).await?;
    let mut digests = rows.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
    digests.sort_unstable();
    Ok(Rows { count: digests.len(), digest: Sha256::digest(digests.concat()).into() })
}

/// The digest of a row's values with their types.
fn digest(row: &SqliteRow) -> Result<[u8; 32], sqlx::Error> {
    let mut hasher = Sha256::new();
    for index in 0..row.len() {
        let (kind, content) = stored(row.try_get_raw(index)?).map_err(sqlx::Error::Decode)?;
        hasher.update([kind]);
        hasher.update((content.len() as u64).to_be_bytes());
        hasher.update(content);
    }
    Ok(hasher.finalize().into())
}

/// A value as it is stored, whatever its column declares.
fn stored(value: SqliteValueRef<'_>) -> Result<(u8, Vec<u8>), sqlx::error::BoxDynError> {
    if value.is_null() {
        return Ok((0, Vec::new()));
    }
    Ok(match value.type_info().name() {
        "INTEGER" => (1, <i64 as Decode<Sqlite>>::decode(value)?.to_be_bytes().to_vec()),
        "REAL" => (2, <f64 as Decode<Sqlite>>::decode(value)?.to_bits().to_be_bytes().to_vec()),
        "TEXT" => (3, <&[u8] as Decode<Sqlite>>::decode(value)?.to_vec()),
        _ => (4, <&[u8] as Decode<Sqlite>>::decode(value)?.to_vec()),
    })
}
