//! The table of applied migrations.

use flow_core::{Digest, ErrorKind, Permit, StepError};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _};

use crate::client::Session;
use crate::ledger::{Applied, Kept};
use crate::scripts::Script;
use crate::version::Version;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS _flow_migrations (
    seq INTEGER PRIMARY KEY,
    version TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    up_hash TEXT NOT NULL,
    down_hash TEXT,
    down_script TEXT,
    applied_at TEXT NOT NULL,
    applied_under TEXT NOT NULL,
    fence INTEGER NOT NULL,
    statements INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    CHECK ((down_hash IS NULL) = (down_script IS NULL))
) STRICT";

const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_flow_migrations'";

const READ: &str =
    "SELECT version, name, up_hash, down_hash, down_script, applied_under, fence, statements, ms
    FROM _flow_migrations ORDER BY seq";

const INSERT: &str = "INSERT INTO _flow_migrations
    (version, name, up_hash, down_hash, down_script, applied_at, applied_under, fence, statements, ms)
    VALUES (?1, ?2, ?3, ?4, ?5, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?6, ?7, ?8, ?9)";

const DELETE: &str = "DELETE FROM _flow_migrations WHERE version = ?1 RETURNING 1";

/// The applied migrations in the order they were applied; none where the table is missing.
pub(crate) async fn read(session: &mut Session) -> Result<Vec<Applied>, StepError> {
    if session.fetch(EXISTS, SqliteArguments::default()).await?.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.fetch(READ, SqliteArguments::default()).await?;
    rows.iter().map(|row| applied(row).map_err(unreadable)).collect()
}

/// Records `script` as applied, in the transaction that is open.
pub(crate) async fn insert(
    session: &mut Session,
    script: &Script,
    permit: &Permit,
    ms: u64,
) -> Result<(), StepError> {
    session.execute(CREATE).await?;
    let down = script.down.as_ref();
    let fence = i64::try_from(permit.fence().0).map_err(|error| unreadable(error.into()))?;
    let mut values = Values::default();
    values.bind(script.version.as_str())?;
    values.bind(script.name.as_str())?;
    values.bind(script.up.digest.to_string())?;
    values.bind(down.map(|down| down.digest.to_string()))?;
    values.bind(down.map(|down| down.text.clone()))?;
    values.bind(permit.idempotency_key())?;
    values.bind(fence)?;
    values.bind(i64::from(statements(script)))?;
    values.bind(i64::try_from(ms).unwrap_or(i64::MAX))?;
    session.fetch(INSERT, values.0).await.map(drop)
}

/// Deletes the row of `version`, in the transaction that is open.
pub(crate) async fn delete(session: &mut Session, version: &Version) -> Result<(), StepError> {
    let mut values = Values::default();
    values.bind(version.as_str())?;
    let deleted = session.fetch(DELETE, values.0).await?;
    if deleted.len() == 1 {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "the migration's row is gone").fact("version", version))
}

/// How many statements `script` has.
pub(crate) fn statements(script: &Script) -> u32 {
    u32::try_from(script.up.statements.len()).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Values(SqliteArguments);

impl Values {
    fn bind<'q, T>(&mut self, value: T) -> Result<(), StepError>
    where
        T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.0.add(value).map_err(unreadable)
    }
}

type Foreign = Box<dyn std::error::Error + Send + Sync>;

fn applied(row: &SqliteRow) -> Result<Applied, Foreign> {
    let down = match (row.try_get::<Option<String>, _>(3)?, row.try_get(4)?) {
        (Some(digest), Some(text)) => Some(Kept { digest: digest.parse()?, text }),
        _ => None,
    };
    let version: String = row.try_get(0)?;
    Ok(Applied {
        version: Version::new(&version).ok_or_else(|| format!("`{version}` is no version"))?,
        name: row.try_get(1)?,
        up: row.try_get::<String, _>(2)?.parse::<Digest>()?,
        down,
        under: row.try_get(5)?,
        fence: row.try_get::<i64, _>(6)?.try_into()?,
        statements: row.try_get::<i64, _>(7)?.try_into()?,
        ms: row.try_get::<i64, _>(8)?.try_into()?,
    })
}

fn unreadable(error: Foreign) -> StepError {
    StepError::new(ErrorKind::Conflict, "the table `_flow_migrations` is not as this library writes it")
        .because(error)
}
