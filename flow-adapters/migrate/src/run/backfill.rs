//! Fills rows in batch by batch, each a transaction with the record of how far it came.

use std::borrow::Cow;

use flow_core::{Clock as _, ErrorKind, StepError, SystemClock};
use flow_sql::{Backfill, Dialect, Script, Statement};

use super::course::Direction;
use super::migration::Running;
use super::site::Site;
use crate::engine::{Engine, KeyColumn, Session};
use crate::ledger::BackfillProgress;

impl Site<'_> {
    /// Runs batches until no row has a greater key, or until it is cancelled, which keeps what is filled.
    ///
    /// # Errors
    /// With the version and the statement; what is filled stays, and is recorded.
    pub(super) async fn fill(&mut self, script: &Script, backfill: &Backfill) -> Result<(), StepError> {
        let keys = Keys::find(self.engine, self.work.as_mut(), backfill).await?;
        let start = keys.start(self.work.as_mut()).await?;
        loop {
            if self.permit.cancel().is_cancelled() {
                return Err(StepError::new(ErrorKind::Cancelled, "paused between two batches"));
            }
            self.lock.verify().await?;
            if !self.batch(script, &keys, &start).await? {
                return Ok(());
            }
            tokio::select! {
                () = SystemClock::new().sleep(backfill.pause) => {}
                () = self.permit.cancel().cancelled() => {}
            }
        }
    }

    /// Runs the next batch, again where the application's locks were in the way. Whether there was one.
    async fn batch(&mut self, script: &Script, keys: &Keys<'_>, start: &str) -> Result<bool, StepError> {
        let mut patience = self.patience();
        let more = loop {
            self.work.begin().await?;
            let error = match self.within_batch(script, keys, start).await {
                Ok(more) => break more,
                Err(error) => error,
            };
            self.work.roll_back().await;
            if !patience.again(&error).await? {
                return Err(self.taken_back(error));
            }
        };
        self.work.commit(&[]).await.map(|()| more)
    }

    async fn within_batch(
        &mut self,
        script: &Script,
        keys: &Keys<'_>,
        start: &str,
    ) -> Result<bool, StepError> {
        let Site { engine, work, history, references, .. } = self;
        let filled = history.hold_filled(work.as_mut(), &script.version).await?;
        let from = keys.literal(filled.last_key.as_deref().unwrap_or(start))?;
        let Some((last, rows)) = keys.next(work.as_mut(), &from).await? else { return Ok(false) };
        let statements = bound(engine.dialect(), script, &from, &keys.literal(&last)?);
        running(script, &statements).run(*engine, work.as_mut(), references).await?;
        let filled = BackfillProgress { rows: filled.rows + rows, last_key: Some(last), ..filled };
        work.write(&[history.fill(&script.version, &filled)]).await?;
        Ok(true)
    }
}

/// The script with its backfill as one statement over all rows: as a copy runs it, where nobody waits.
pub(crate) async fn unrolled<'a>(
    engine: &dyn Engine,
    session: &mut dyn Session,
    script: &'a Script,
) -> Result<Cow<'a, Script>, StepError> {
    let Some(backfill) = &script.backfill else { return Ok(Cow::Borrowed(script)) };
    let named = |error: StepError| running(script, &[]).named(error);
    let keys = Keys::find(engine, session, backfill).await.map_err(named)?;
    let from = keys.start(session).await?;
    let to = keys.last(session).await?.unwrap_or_else(|| from.clone());
    let mut script = script.clone();
    script.up.statements = bound(engine.dialect(), &script, &keys.literal(&from)?, &keys.literal(&to)?);
    Ok(Cow::Owned(script))
}

pub(super) fn running<'a>(script: &'a Script, statements: &'a [Statement]) -> Running<'a> {
    Running { version: &script.version, direction: Direction::Up, statements }
}

fn bound(dialect: Dialect, script: &Script, from: &str, to: &str) -> Vec<Statement> {
    let bind =
        |one: &Statement| Statement { text: Backfill::bind(dialect, &one.text, from, to), line: one.line };
    script.up.statements.iter().map(bind).collect()
}

/// The values of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Uuid,
}

impl Kind {
    /// Of a type as the catalogue names it.
    fn of(dialect: Dialect, type_name: &str) -> Option<Self> {
        let name = type_name.to_ascii_lowercase();
        let word = name.split(['(', ' ']).next().unwrap_or_default();
        match (dialect, word) {
            (Dialect::Postgres, "smallint" | "integer" | "bigint")
            | (Dialect::Mysql, "tinyint" | "smallint" | "mediumint" | "int" | "bigint") => {
                Some(Self::Integer)
            }
            (Dialect::Postgres, "text") | (Dialect::Mysql, "char" | "varchar" | "text") => Some(Self::Text),
            (Dialect::Postgres, "character") if name == "character varying" => Some(Self::Text),
            (Dialect::Postgres | Dialect::Mysql, "uuid") => Some(Self::Uuid),
            // https://www.sqlite.org/datatype3.html#determination_of_column_affinity
            (Dialect::Sqlite, _) if name.contains("int") => Some(Self::Integer),
            (Dialect::Sqlite, _) if name.contains("char") || name.contains("text") => Some(Self::Text),
            _ => None,
        }
    }

    /// No key is less than this. Of integers there is no such value that every type has.
    const fn least(self) -> Option<&'static str> {
        match self {
            Self::Integer => None,
            Self::Text => Some(""),
            Self::Uuid => Some("00000000-0000-0000-0000-000000000000"),
        }
    }
}

/// The rows of a table along its key.
struct Keys<'a> {
    dialect: Dialect,
    kind: Kind,
    backfill: &'a Backfill,
}

impl<'a> Keys<'a> {
    /// Looks whether batches along the key meet every row once, and quickly.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where there is no such column, no unique index begins with it, it is of another type, or some rows have no
    /// key, or one that no batch can begin before.
    async fn find(
        engine: &dyn Engine,
        session: &mut dyn Session,
        backfill: &'a Backfill,
    ) -> Result<Self, StepError> {
        let Backfill { table, key, .. } = backfill;
        let refused = |message: &'static str| {
            StepError::new(ErrorKind::Conflict, message).fact("table", table).fact("key", key)
        };
        let column = engine.key_column(session, table, key).await?;
        let Some(KeyColumn { type_name, leads_unique }) = column else {
            return Err(refused("the key of the backfill is no column of a table that is there"));
        };
        if !leads_unique {
            return Err(refused("no unique index begins with the key of the backfill"));
        }
        let dialect = engine.dialect();
        let kind = Kind::of(dialect, &type_name).ok_or_else(|| {
            refused("the key of the backfill is neither an integer nor a text nor a uuid")
                .fact("type", &type_name)
        })?;
        let least = kind.least().map_or(String::new(), |least| format!(" OR {key} = '{least}'"));
        let ask = format!("SELECT 1 FROM {table} WHERE {key} IS NULL{least} LIMIT 1");
        if !session.query(&ask, &[]).await?.is_empty() {
            return Err(refused("rows have no key for the backfill: it is null, or the least of all values"));
        }
        Ok(Self { dialect, kind, backfill })
    }

    /// A value below every key.
    async fn start(&self, session: &mut dyn Session) -> Result<String, StepError> {
        if let Some(least) = self.kind.least() {
            return Ok(least.to_owned());
        }
        let Backfill { table, key, .. } = self.backfill;
        let least = one(session, &format!("SELECT min({key}) FROM {table}")).await?;
        let number = least.map_or(Ok(0), |least| least.parse::<i128>().map_err(|_| no_key(&least)))?;
        Ok((number - 1).to_string())
    }

    /// The greatest key.
    async fn last(&self, session: &mut dyn Session) -> Result<Option<String>, StepError> {
        let Backfill { table, key, .. } = self.backfill;
        one(session, &format!("SELECT {key} FROM {table} ORDER BY {key} DESC LIMIT 1")).await
    }

    /// The last key of the batch behind `from`, and how many rows it has; none where no row is left.
    async fn next(&self, session: &mut dyn Session, from: &str) -> Result<Option<(String, u64)>, StepError> {
        let Backfill { table, key, rows, .. } = self.backfill;
        let select = format!(
            "SELECT {key} FROM (SELECT {key} FROM {table} WHERE {key} > {from} ORDER BY {key} LIMIT {rows})
             AS flow_batch ORDER BY {key} DESC LIMIT 1"
        );
        let Some(last) = one(session, &select).await? else { return Ok(None) };
        let to = self.literal(&last)?;
        let count = format!("SELECT count(*) FROM {table} WHERE {key} > {from} AND {key} <= {to}");
        Ok(Some((last, number(session, &count).await?)))
    }

    /// A key as SQL.
    fn literal(&self, key: &str) -> Result<String, StepError> {
        let is_uuid = key.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        match (self.kind, self.dialect) {
            (Kind::Integer, _) if key.parse::<i128>().is_ok() => Ok(key.to_owned()),
            (Kind::Uuid, _) if is_uuid => Ok(format!("'{key}'")),
            // Whatever backslashes mean to the session.
            (Kind::Text, Dialect::Mysql) => Ok(format!(
                "_utf8mb4 X'{}'",
                key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
            )),
            (Kind::Text, Dialect::Postgres | Dialect::Sqlite) => Ok(format!("'{}'", key.replace('\'', "''"))),
            (Kind::Integer | Kind::Uuid, _) => Err(no_key(key)),
        }
    }
}

fn no_key(key: &str) -> StepError {
    StepError::new(ErrorKind::Conflict, "a key of the backfill is not of its column's type")
        .fact("value", key)
}

async fn one(session: &mut dyn Session, select: &str) -> Result<Option<String>, StepError> {
    Ok(session.query(select, &[]).await?.concat().into_iter().flatten().next())
}

/// The one number that `select` gives.
pub(super) async fn number(session: &mut dyn Session, select: &str) -> Result<u64, StepError> {
    Ok(one(session, select).await?.and_then(|number| number.parse().ok()).unwrap_or_default())
}
