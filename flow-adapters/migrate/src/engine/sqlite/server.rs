use async_trait::async_trait;
use flow_core::{CancelToken, StepError};
use flow_sql::{Dialect, Statement, Token, lex};

use super::lock::SqliteLock;
use super::references;
use super::{Database, footprint, schema, tables};
use crate::config::Waits;
use crate::engine::{Access, Engine, Footprint, KeyColumn, Lock, Owner, Session, Software};
use crate::ledger::TABLES;
use crate::schema::Schema;

/// The type of a column, and whether a unique index begins with it. A lone integer primary key needs none.
const KEY: &str =
    "SELECT c.type, (c.pk = 1 AND (SELECT count(*) FROM pragma_table_info(t.name) WHERE pk > 0) = 1)
        OR EXISTS (SELECT 1 FROM pragma_index_list(t.name) AS l, pragma_index_info(l.name) AS i
            WHERE l.\"unique\" AND NOT l.partial AND i.seqno = 0 AND i.name = c.name)
    FROM (SELECT ? AS name) AS t, pragma_table_info(t.name) AS c WHERE c.name = ? COLLATE NOCASE";

/// One database file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    database: Database,
    waits: Waits,
}

impl Sqlite {
    pub(crate) const fn new(database: Database, waits: Waits) -> Self {
        Self { database, waits }
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn is_there(&self) -> Result<bool, StepError> {
        self.database.is_there().await
    }

    async fn open(&self, access: Access, cancel: &CancelToken) -> Result<Box<dyn Session>, StepError> {
        Ok(Box::new(self.database.open(access, cancel).await?))
    }

    async fn lock(&self, owner: &Owner, cancel: &CancelToken) -> Result<Box<dyn Lock>, StepError> {
        Ok(Box::new(SqliteLock::take(&self.database, owner, self.waits.migrators, cancel).await?))
    }

    async fn software(&self, session: &mut dyn Session) -> Result<Software, StepError> {
        let rows = session.query("SELECT sqlite_version()", &[]).await?;
        Ok(Software { product: "sqlite", version: rows.into_iter().flatten().flatten().collect() })
    }

    async fn preflight(&self, _work: &mut dyn Session, _lock: &mut dyn Session) -> Result<(), StepError> {
        // The library is ours, and what the file allows its first write says.
        Ok(())
    }

    async fn schema_of_tables(&self, _session: &mut dyn Session) -> Result<String, StepError> {
        Ok("main".to_owned())
    }

    async fn tables(&self, session: &mut dyn Session, schema: &str) -> Result<Vec<String>, StepError> {
        let select = format!(
            "SELECT name FROM {schema}.sqlite_master
             WHERE type = 'table' AND name IN ('{}')",
            TABLES.join("', '")
        );
        Ok(session.query(&select, &[]).await?.into_iter().flatten().flatten().collect())
    }

    fn create_tables(&self, schema: &str) -> Vec<String> {
        tables::create(schema)
    }

    async fn schema(&self, session: &mut dyn Session) -> Result<Schema, StepError> {
        schema::read(session).await
    }

    async fn footprint(
        &self,
        _session: &mut dyn Session,
        _statement: &str,
    ) -> Result<Option<Footprint>, StepError> {
        Ok(Some(footprint::nothing()))
    }

    async fn clear(&self, _session: &mut dyn Session, _statement: &str) -> Result<(), StepError> {
        Ok(())
    }

    async fn key_column(
        &self,
        session: &mut dyn Session,
        table: &str,
        key: &str,
    ) -> Result<Option<KeyColumn>, StepError> {
        let name =
            |text: &str| lex(Dialect::Sqlite, text).unwrap_or_default().last().and_then(Token::identifier);
        let (table, key) = (name(table), name(key));
        let rows = session.query(KEY, &[table.as_deref(), key.as_deref()]).await?.pop();
        let Some([Some(type_name), leads]) = rows.and_then(|row| <[Option<String>; 2]>::try_from(row).ok())
        else {
            return Ok(None);
        };
        Ok(Some(KeyColumn { type_name, leads_unique: leads.as_deref() == Some("1") }))
    }

    async fn is_alive(&self, _session: &mut dyn Session, _id: &str) -> Result<bool, StepError> {
        // Whoever held the lock before is gone, and what it ran with it.
        Ok(false)
    }

    fn can_break_references(&self, statements: &[Statement]) -> bool {
        statements.iter().any(|statement| references::can_break(&statement.text))
    }
}
