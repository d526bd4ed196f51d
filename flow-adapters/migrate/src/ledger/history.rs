//! The tables of applied migrations.

use flow_core::{ErrorKind, Permit, StepError};
use flow_sql::{Dialect, Mode, Script, Version};

use super::applied::{Applied, Begun, Checksum, Kept, Progress, Reached, hex};
use crate::engine::{Engine, Row, Session};

/// Our own table, that of applications that migrate themselves with sqlx, and how far backfills are, once there was one.
pub(crate) const TABLES: [&str; 3] = [OURS, SQLX, BACKFILLS];
const OURS: &str = "_flow_migrations";
const SQLX: &str = "_sqlx_migrations";
pub(super) const BACKFILLS: &str = "_flow_migrations_backfill";

const COLUMNS: &str = "version, name, up_hash, down_hash, down_script, down_mode, applied_under, fence, statements, ms, \
    state, done, done_hash, begun, begun_hash, begun_by, footprint";

pub(crate) const WHOLE: &str = "applied";
const APPLYING: &str = "applying";
const REVERTING: &str = "reverting";
const UNWINDING: &str = "unwinding";

/// The tables in the schema that they are in, whatever a script makes of the session.
///
/// What is written differs from migration to migration in its values alone: the driver keeps statements by their texts, and letting go of
/// one costs MySQL's connection a wait of 40 ms for the other side's acknowledgement.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(super) schema: String,
    pub(super) dialect: Dialect,
    pub(super) there: Vec<String>,
}

impl History {
    /// Looks where the tables are, or would be.
    pub(crate) async fn find(engine: &dyn Engine, session: &mut dyn Session) -> Result<Self, StepError> {
        let schema = engine.schema_of_tables(session).await?;
        let there = engine.tables(session, &schema).await?;
        Ok(Self { schema, dialect: engine.dialect(), there })
    }

    /// Makes the tables that are missing, in the transaction that is open, if one is.
    pub(crate) async fn create(
        &self,
        engine: &dyn Engine,
        session: &mut dyn Session,
    ) -> Result<(), StepError> {
        if self.has(OURS) && self.has(SQLX) {
            return Ok(());
        }
        for create in engine.create_tables(&self.schema) {
            session.execute(&create).await?;
        }
        Ok(())
    }

    /// Takes the tables to be there from now on.
    pub(crate) fn created(&mut self) {
        self.there.retain(|table| table == BACKFILLS);
        self.there.extend([OURS, SQLX].map(str::to_owned));
    }

    /// What stands, in the order it was applied.
    pub(crate) async fn read(&self, session: &mut dyn Session) -> Result<Vec<Applied>, StepError> {
        let mut found = Vec::new();
        if self.has(OURS) {
            let select = format!("SELECT {COLUMNS} FROM {}.{OURS} ORDER BY seq", self.schema);
            for row in session.query(&select, &[]).await.map_err(of_another_form)? {
                found.push(applied(row).ok_or_else(unreadable)?);
            }
        }
        if self.has(BACKFILLS) {
            for row in &mut found {
                row.filled = self.filled(session, &row.version).await?;
            }
        }
        if self.has(SQLX) {
            let hex = match self.dialect {
                Dialect::Postgres => "encode(checksum, 'hex')",
                Dialect::Mysql | Dialect::Sqlite => "lower(hex(checksum))",
            };
            let select = format!(
                "SELECT version, description, {hex}, CASE WHEN success THEN 'yes' ELSE 'no' END, execution_time
                 FROM {}.{SQLX} ORDER BY version",
                self.schema
            );
            for row in session.query(&select, &[]).await.map_err(of_another_form)? {
                let foreign = foreign(row).ok_or_else(unreadable)?;
                if !found.iter().any(|row| row.version == foreign.version) {
                    found.push(foreign);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.there.iter().any(|there| there == table)
    }

    /// Records `script` as applied, in the transaction that is open.
    pub(crate) async fn insert(
        &self,
        session: &mut dyn Session,
        script: &Script,
        permit: &Permit,
        ms: u64,
    ) -> Result<(), StepError> {
        self.insert_row(session, script, permit, ms, WHOLE).await?;
        self.insert_foreign(session, script, ms, "TRUE").await
    }

    /// Records that the statements of `script` are being applied one by one.
    pub(crate) async fn begin(
        &self,
        session: &mut dyn Session,
        script: &Script,
        permit: &Permit,
    ) -> Result<(), StepError> {
        self.insert_row(session, script, permit, 0, APPLYING).await?;
        self.insert_foreign(session, script, 0, "FALSE").await
    }

    /// Records `script` in our table alone.
    pub(crate) async fn insert_row(
        &self,
        session: &mut dyn Session,
        script: &Script,
        permit: &Permit,
        ms: u64,
        state: &str,
    ) -> Result<(), StepError> {
        let insert = format!(
            "INSERT INTO {}._flow_migrations (version, name, up_hash, down_hash, down_script, down_mode, applied_under,
             fence, statements, ms, state, done) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            self.schema
        );
        let numbers = [permit.fence().0.to_string(), script.up.statements.len().to_string(), ms.to_string()];
        let [fence, statements, ms] = &numbers;
        let up = script.up.digest.to_string();
        let down = script.down.as_ref();
        let (hash, text) = (down.map(|down| down.digest.to_string()), down.map(|down| down.text.as_str()));
        let values = [
            Some(script.version.as_str()),
            Some(&script.name),
            Some(&up),
            hash.as_deref(),
            text,
            down.map(|down| mode(down.mode)),
            Some(permit.idempotency_key()),
            Some(fence),
            Some(statements),
            Some(ms),
            Some(state),
        ];
        session.query(&insert, &values).await.map(drop)
    }

    /// As sqlx writes it: the name with spaces, the digest of the file, the time in nanoseconds.
    async fn insert_foreign(
        &self,
        session: &mut dyn Session,
        script: &Script,
        ms: u64,
        success: &str,
    ) -> Result<(), StepError> {
        let Some(version) = script.version.as_i64() else { return Ok(()) };
        let checksum = match self.dialect {
            Dialect::Postgres => "decode(?, 'hex')",
            Dialect::Mysql | Dialect::Sqlite => "unhex(?)",
        };
        let insert = format!(
            "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (?, ?, {success}, {checksum}, ?)",
            self.schema
        );
        let numbers = [version, ms.saturating_mul(1_000_000).min(i64::MAX.unsigned_abs()).cast_signed()];
        let [version, nanoseconds] = numbers.map(|number| number.to_string());
        let (name, checksum) = (script.name.replace('_', " "), hex(&script.up.sha384));
        let values = [&version, &name, &checksum, &nanoseconds].map(|value| Some(value.as_str()));
        session.query(&insert, &values).await.map(drop)
    }

    /// Records how far a script came whose statements commit one by one.
    pub(crate) async fn reach(
        &self,
        session: &mut dyn Session,
        version: &Version,
        reached: &Reached,
    ) -> Result<(), StepError> {
        let begun = reached.begun.as_ref();
        let update = format!(
            "UPDATE {}._flow_migrations SET done = ?, done_hash = ?, begun = ?, begun_hash = ?, begun_by = ?,
             footprint = ? WHERE version = ?",
            self.schema
        );
        let (number, next) = (reached.done.to_string(), begun.map(|_| (reached.done + 1).to_string()));
        let text = |digest: flow_core::Digest| digest.to_string();
        let hashes = [
            reached.hash.map(text),
            begun.map(|begun| text(begun.statement)),
            begun.and_then(|begun| begun.footprint).map(text),
        ];
        let [done, statement, footprint] = &hashes;
        let by = begun.map(|begun| begun.by.as_str());
        let values = [
            Some(number.as_str()),
            done.as_deref(),
            next.as_deref(),
            statement.as_deref(),
            by,
            footprint.as_deref(),
            Some(version.as_str()),
        ];
        session.query(&update, &values).await.map(drop)
    }

    /// Records that all of `script` stands, with the checksum of what it is now.
    pub(crate) async fn finish(
        &self,
        session: &mut dyn Session,
        script: &Script,
        ms: u64,
    ) -> Result<(), StepError> {
        let update = format!(
            "UPDATE {}._flow_migrations SET state = '{WHOLE}', ms = ?, statements = ?, up_hash = ?, done = 0,
             done_hash = NULL, begun = NULL, begun_hash = NULL, begun_by = NULL, footprint = NULL WHERE version = ?",
            self.schema
        );
        let values = [ms.to_string(), script.up.statements.len().to_string(), script.up.digest.to_string()];
        let [took, statements, up] = &values;
        session
            .query(&update, &[Some(took), Some(statements), Some(up), Some(script.version.as_str())])
            .await?;
        self.delete_foreign(session, &script.version).await?;
        self.insert_foreign(session, script, ms, "TRUE").await
    }

    /// Records that the statements of the way back are being run one by one, of all of a migration or of a part.
    pub(crate) async fn turn(&self, session: &mut dyn Session, row: &Applied) -> Result<(), StepError> {
        let state = if matches!(row.progress, Progress::Applying(_)) { UNWINDING } else { REVERTING };
        self.restart(session, &row.version, state).await
    }

    /// Records that all of `version` stands, as before its way back was begun.
    pub(crate) async fn stand(&self, session: &mut dyn Session, version: &Version) -> Result<(), StepError> {
        self.restart(session, version, WHOLE).await
    }

    async fn restart(
        &self,
        session: &mut dyn Session,
        version: &Version,
        state: &str,
    ) -> Result<(), StepError> {
        let update = format!(
            "UPDATE {}._flow_migrations SET state = '{state}', done = 0, done_hash = NULL, begun = NULL,
             begun_hash = NULL, begun_by = NULL, footprint = NULL WHERE version = ?",
            self.schema
        );
        session.query(&update, &[Some(version.as_str())]).await.map(drop)
    }

    /// Deletes what is recorded of `version`, in the transaction that is open.
    pub(crate) async fn delete(&self, session: &mut dyn Session, version: &Version) -> Result<(), StepError> {
        let delete = format!("DELETE FROM {}._flow_migrations WHERE version = ?", self.schema);
        session.query(&delete, &[Some(version.as_str())]).await?;
        if self.has(BACKFILLS) {
            let delete = format!("DELETE FROM {}.{BACKFILLS} WHERE version = ?", self.schema);
            session.query(&delete, &[Some(version.as_str())]).await?;
        }
        self.delete_foreign(session, version).await
    }

    async fn delete_foreign(&self, session: &mut dyn Session, version: &Version) -> Result<(), StepError> {
        let Some(version) = version.as_i64() else { return Ok(()) };
        let delete = format!("DELETE FROM {}._sqlx_migrations WHERE version = {version}", self.schema);
        session.execute(&delete).await
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Transaction => "transaction",
        Mode::Statements => "statements",
    }
}

fn applied(row: Row) -> Option<Applied> {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let (version, name, up) = (Version::new(&next()?)?, next()?, next()?.parse().ok()?);
    let down = match (next(), next(), next()) {
        (Some(digest), Some(text), Some(kept)) => {
            let mode = [Mode::Transaction, Mode::Statements].into_iter().find(|one| mode(*one) == kept)?;
            Some(Kept { digest: digest.parse().ok()?, text, mode })
        }
        _ => None,
    };
    let (under, fence, statements) = (next()?, next()?.parse().ok()?, next()?.parse().ok()?);
    let (ms, state) = (next()?.parse().ok()?, next()?);
    let (done, hash) = (next()?.parse().ok()?, next().map(|hash| hash.parse()).transpose().ok()?);
    let begun = match (next(), next(), next(), next()) {
        (Some(_), Some(statement), Some(by), footprint) => {
            let footprint = footprint.map(|digest| digest.parse()).transpose().ok()?;
            Some(Begun { statement: statement.parse().ok()?, by, footprint })
        }
        _ => None,
    };
    let reached = Reached { done, hash, begun };
    let progress = match state.as_str() {
        WHOLE => Progress::Whole,
        APPLYING => Progress::Applying(reached),
        REVERTING => Progress::Reverting(reached),
        UNWINDING => Progress::Unwinding(reached),
        _ => return None,
    };
    Some(Applied {
        version,
        name,
        up: Checksum::Ours(up),
        down,
        under,
        fence,
        statements,
        ms,
        progress,
        filled: None,
    })
}

/// A row that sqlx wrote. One without success is what its migrator left of a statement that commits by itself.
fn foreign(row: Row) -> Option<Applied> {
    let [version, description, checksum, success, nanoseconds] = <[Option<String>; 5]>::try_from(row).ok()?;
    let progress = match success.as_deref() {
        Some("yes") => Progress::Foreign,
        _ => Progress::Applying(Reached::default()),
    };
    Some(Applied {
        version: Version::new(&version?)?,
        name: description?,
        up: Checksum::Sqlx(checksum?),
        down: None,
        under: String::new(),
        fence: 0,
        statements: 0,
        ms: nanoseconds.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default() / 1_000_000,
        progress,
        filled: None,
    })
}

/// What the server refuses to read of a table that is there has other columns.
fn of_another_form(error: StepError) -> StepError {
    if error.kind() == ErrorKind::Failed { unreadable().because(error) } else { error }
}

pub(super) fn unreadable() -> StepError {
    StepError::new(ErrorKind::Conflict, "the tables of the history are not as this library writes them")
}
