//! The tables of applied migrations.

use flow_core::{ErrorKind, Permit, StepError};
use flow_sql::{Dialect, Mode, Script, Version};

use super::applied::{Applied, Begun, Checksum, Kept, Progress, Reached, hex};
use crate::engine::{Engine, Row, Session, Write};

/// Our own table, that of applications that migrate themselves with sqlx, and how far backfills are, once there was one.
pub(crate) const TABLES: [&str; 3] = [OURS, SQLX, BACKFILLS];
const OURS: &str = "_flow_migrations";
const SQLX: &str = "_sqlx_migrations";
pub(super) const BACKFILLS: &str = "_flow_migrations_backfill";

const COLUMNS: &str = "version, name, up_hash, down_hash, down_script, down_mode, applied_under, fence, statements, ms, \
    state, done, done_hash, begun, begun_hash, begun_by, footprint";

const WHOLE: &str = "applied";
const APPLYING: &str = "applying";
const REVERTING: &str = "reverting";
const UNWINDING: &str = "unwinding";

/// The tables in the schema that they are in, whatever a script makes of the session.
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

    /// Records `script` as applied.
    pub(crate) fn insert(&self, script: &Script, permit: &Permit, ms: u64) -> Vec<Write> {
        let ours = self.insert_row(script, permit, ms, WHOLE, None);
        std::iter::once(ours).chain(self.insert_foreign(script, ms, "TRUE")).collect()
    }

    /// Records that the statements of `script` are being applied one by one, and the first of them where it is `begun`.
    pub(crate) fn begin(&self, script: &Script, permit: &Permit, begun: Option<&Begun>) -> Vec<Write> {
        let ours = self.insert_row(script, permit, 0, APPLYING, begun);
        std::iter::once(ours).chain(self.insert_foreign(script, 0, "FALSE")).collect()
    }

    /// Records `script` in our table alone, as what an application applied by itself.
    pub(crate) fn adopt(&self, script: &Script, permit: &Permit) -> Write {
        self.insert_row(script, permit, 0, WHOLE, None)
    }

    fn insert_row(
        &self,
        script: &Script,
        permit: &Permit,
        ms: u64,
        state: &str,
        begun: Option<&Begun>,
    ) -> Write {
        let down = script.down.as_ref();
        let values = [
            Some(script.version.to_string()),
            Some(script.name.clone()),
            Some(script.up.digest.to_string()),
            down.map(|down| down.digest.to_string()),
            down.map(|down| down.text.clone()),
            down.map(|down| mode(down.mode).to_owned()),
            Some(permit.idempotency_key().to_owned()),
            Some(permit.fence().0.to_string()),
            Some(script.up.statements.len().to_string()),
            Some(ms.to_string()),
            Some(state.to_owned()),
        ];
        let text = format!(
            "INSERT INTO {}._flow_migrations (version, name, up_hash, down_hash, down_script, down_mode, applied_under,
             fence, statements, ms, state, done, begun, begun_hash, begun_by, footprint)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
            self.schema
        );
        Write { text, values: values.into_iter().chain(under_way(1, begun)).collect() }
    }

    /// As sqlx writes it: the name with spaces, the digest of the file, the time in nanoseconds.
    fn insert_foreign(&self, script: &Script, ms: u64, success: &str) -> Option<Write> {
        let version = script.version.as_i64()?;
        let checksum = match self.dialect {
            Dialect::Postgres => "decode(?, 'hex')",
            Dialect::Mysql | Dialect::Sqlite => "unhex(?)",
        };
        let text = format!(
            "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (?, ?, {success}, {checksum}, ?)",
            self.schema
        );
        let nanoseconds = ms.saturating_mul(1_000_000).min(i64::MAX.unsigned_abs());
        let values = [
            version.to_string(),
            script.name.replace('_', " "),
            hex(&script.up.sha384),
            nanoseconds.to_string(),
        ];
        Some(Write { text, values: values.into_iter().map(Some).collect() })
    }

    /// Records how far a script came whose statements commit one by one.
    pub(crate) fn reach(&self, version: &Version, reached: &Reached) -> Write {
        let text = format!(
            "UPDATE {}._flow_migrations SET done = ?, done_hash = ?, begun = ?, begun_hash = ?, begun_by = ?,
             footprint = ? WHERE version = ?",
            self.schema
        );
        let done = [Some(reached.done.to_string()), reached.hash.map(|hash| hash.to_string())];
        let under_way = under_way(reached.done + 1, reached.begun.as_ref());
        let values = done.into_iter().chain(under_way).chain([Some(version.to_string())]);
        Write { text, values: values.collect() }
    }

    /// Records that all of `script` stands, with the checksum of what it is now.
    pub(crate) fn finish(&self, script: &Script, ms: u64) -> Vec<Write> {
        let text = format!(
            "UPDATE {}._flow_migrations SET state = '{WHOLE}', ms = ?, statements = ?, up_hash = ?, done = 0,
             done_hash = NULL, begun = NULL, begun_hash = NULL, begun_by = NULL, footprint = NULL WHERE version = ?",
            self.schema
        );
        let values = [
            ms.to_string(),
            script.up.statements.len().to_string(),
            script.up.digest.to_string(),
            script.version.to_string(),
        ];
        let ours = Write { text, values: values.into_iter().map(Some).collect() };
        let foreign = [self.delete_foreign(&script.version), self.insert_foreign(script, ms, "TRUE")];
        std::iter::once(ours).chain(foreign.into_iter().flatten()).collect()
    }

    /// Records that the statements of the way back are being run one by one, of all of a migration or of a part.
    pub(crate) fn turn(&self, row: &Applied) -> Write {
        let state = if matches!(row.progress, Progress::Applying(_)) { UNWINDING } else { REVERTING };
        self.restart(&row.version, state)
    }

    /// Records that all of `version` stands, as before its way back was begun.
    pub(crate) fn stand(&self, version: &Version) -> Write {
        self.restart(version, WHOLE)
    }

    fn restart(&self, version: &Version, state: &str) -> Write {
        let text = format!(
            "UPDATE {}._flow_migrations SET state = '{state}', done = 0, done_hash = NULL, begun = NULL,
             begun_hash = NULL, begun_by = NULL, footprint = NULL WHERE version = ?",
            self.schema
        );
        Write { text, values: vec![Some(version.to_string())] }
    }

    /// Deletes what is recorded of `version`.
    pub(crate) fn delete(&self, version: &Version) -> Vec<Write> {
        let ours = [OURS, BACKFILLS].into_iter().filter(|table| *table == OURS || self.has(table));
        let ours = ours.map(|table| Write {
            text: format!("DELETE FROM {}.{table} WHERE version = ?", self.schema),
            values: vec![Some(version.to_string())],
        });
        ours.chain(self.delete_foreign(version)).collect()
    }

    fn delete_foreign(&self, version: &Version) -> Option<Write> {
        let version = version.as_i64()?;
        let text = format!("DELETE FROM {}._sqlx_migrations WHERE version = ?", self.schema);
        Some(Write { text, values: vec![Some(version.to_string())] })
    }
}

/// The columns of the statement that is under way.
fn under_way(number: u32, begun: Option<&Begun>) -> [Option<String>; 4] {
    [
        begun.map(|_| number.to_string()),
        begun.map(|begun| begun.statement.to_string()),
        begun.map(|begun| begun.by.clone()),
        begun.and_then(|begun| begun.footprint).map(|footprint| footprint.to_string()),
    ]
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
