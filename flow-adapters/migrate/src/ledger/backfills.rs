//! The table of how far backfills are: made when the first one begins, so that other histories stay as they were.

use flow_core::StepError;
use flow_sql::{Dialect, Version};

use super::applied::BackfillProgress;
use super::history::{BACKFILLS, History, unreadable};
use crate::engine::{Session, Write};

impl History {
    /// Makes the table where it is missing. Commits what is open.
    pub(crate) async fn create_backfills(&mut self, session: &mut dyn Session) -> Result<(), StepError> {
        if self.has(BACKFILLS) {
            return Ok(());
        }
        let (version, options) = match self.dialect {
            Dialect::Mysql => (
                "VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin",
                "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4",
            ),
            Dialect::Postgres | Dialect::Sqlite => ("TEXT", ""),
        };
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {}.{BACKFILLS} (version {version} NOT NULL PRIMARY KEY,
             filled BIGINT NOT NULL, total BIGINT NOT NULL, last_key TEXT) {options}",
            self.schema
        );
        session.execute(&create).await?;
        self.there.push(BACKFILLS.to_owned());
        Ok(())
    }

    /// Records that a backfill of so many rows begins.
    pub(crate) fn begin_filling(&self, version: &Version, total: u64) -> Write {
        let text = format!(
            "INSERT INTO {}.{BACKFILLS} (version, filled, total) VALUES (?, 0, {total})",
            self.schema
        );
        Write { text, values: vec![Some(version.to_string())] }
    }

    /// How far a backfill is.
    pub(super) async fn filled(
        &self,
        session: &mut dyn Session,
        version: &Version,
    ) -> Result<Option<BackfillProgress>, StepError> {
        self.read_filled(session, version, "").await
    }

    /// How far a backfill is, kept so until the transaction ends. The last batch of a migrator that died may be committing only now.
    pub(crate) async fn hold_filled(
        &self,
        session: &mut dyn Session,
        version: &Version,
    ) -> Result<BackfillProgress, StepError> {
        // SQLite's transactions hold the whole file.
        let lock = if self.dialect == Dialect::Sqlite { "" } else { " FOR UPDATE" };
        self.read_filled(session, version, lock).await?.ok_or_else(unreadable)
    }

    async fn read_filled(
        &self,
        session: &mut dyn Session,
        version: &Version,
        lock: &str,
    ) -> Result<Option<BackfillProgress>, StepError> {
        let text = if self.dialect == Dialect::Mysql { "CHAR" } else { "TEXT" };
        let select = format!(
            "SELECT CAST(filled AS {text}), CAST(total AS {text}), last_key FROM {}.{BACKFILLS} WHERE version = ?{lock}",
            self.schema
        );
        let mut rows = session.query(&select, &[Some(version.as_str())]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        let [rows, of, last_key] = <[Option<String>; 3]>::try_from(row).map_err(|_| unreadable())?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).ok_or_else(unreadable);
        Ok(Some(BackfillProgress { rows: number(rows)?, of: number(of)?, last_key }))
    }

    /// Records how far a backfill is, in the transaction of the batch.
    pub(crate) fn fill(&self, version: &Version, filled: &BackfillProgress) -> Write {
        let text = format!(
            "UPDATE {}.{BACKFILLS} SET filled = {}, last_key = ? WHERE version = ?",
            self.schema, filled.rows
        );
        Write { text, values: vec![filled.last_key.clone(), Some(version.to_string())] }
    }
}
