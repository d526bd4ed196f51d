use async_trait::async_trait;
use flow_core::{CancelToken, Digest, ErrorKind, StepError};
use flow_sql::Dialect;

use super::connection::PostgresSession;
use super::lock::PostgresLock;
use super::{footprint, schema, tables};
use crate::config::{Server, Waits};
use crate::engine::{Access, Engine, Footprint, KeyColumn, Lock, Owner, Session, Software};
use crate::ledger::TABLES;
use crate::schema::Schema;

/// The oldest version whose behaviour the engine relies on: enumerations grow inside transactions from here on.
const VERSION_MIN: u32 = 120_000;

/// The type of a column, behind a hyphen where no unique index begins with it.
const KEY: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique
        AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indkey[0] = a.attnum) THEN '' ELSE '-' END
    || pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = pg_catalog.to_regclass(?) AND a.attname = (pg_catalog.parse_ident(?))[1]
    AND a.attnum > 0 AND NOT a.attisdropped";

/// One database of one PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
    waits: Waits,
}

impl Postgres {
    pub(crate) const fn new(server: Server, waits: Waits) -> Self {
        Self { server, waits }
    }

    async fn check_server(&self, session: &mut dyn Session) -> Result<(), StepError> {
        let facts = "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.pg_is_in_recovery(),
             pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_schema()";
        let row = session.query(facts, &[]).await?.concat();
        let [version, standby, read_only, schema] = row.as_slice() else { return Ok(()) };
        check_version(version.as_deref().unwrap_or_default())?;
        if standby.as_deref() != Some("f") {
            return Err(StepError::new(ErrorKind::Denied, "the server is a read-only replica"));
        }
        if read_only.as_deref() != Some("off") {
            return Err(StepError::new(ErrorKind::Denied, "the server or the session is read-only"));
        }
        if schema.is_none() {
            return Err(StepError::new(ErrorKind::Denied, "no schema of the user's search path is there"));
        }
        Ok(())
    }

    /// A transaction pooler gives one backend to several sessions in turn, and then no session's lock holds.
    async fn check_sessions(&self, work: &mut dyn Session, lock: &mut dyn Session) -> Result<(), StepError> {
        let ask = "SELECT pg_catalog.pg_backend_pid()";
        work.begin().await?;
        let working = work.query(ask, &[]).await?;
        let locking = lock.query(ask, &[]).await?;
        work.roll_back().await;
        let same = |rows: &[Vec<Option<String>>], id: &str| {
            rows.first().and_then(|row| row.first()?.as_deref()) == id.split(' ').next()
        };
        if same(&working, work.id()) && same(&locking, lock.id()) && working != locking {
            return Ok(());
        }
        let message =
            "a pooler gives the sessions of the server to transactions; migrations need a direct connection";
        Err(StepError::new(ErrorKind::Denied, message))
    }

    async fn check_transactions(&self, work: &mut dyn Session, lock: &str) -> Result<(), StepError> {
        let old = format!(
            "SELECT concat_ws(' ', 'process', pid, usename, application_name, state, 'since', xact_start)
             FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database()
             AND xact_start < pg_catalog.clock_timestamp() - interval '{} milliseconds' AND pid NOT IN ({}, {})",
            self.waits.transactions.as_millis(),
            work.id().split(' ').next().unwrap_or("0"),
            lock.split(' ').next().unwrap_or("0")
        );
        let rows = work.query(&old, &[]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let old: Vec<_> = rows.into_iter().flatten().flatten().collect();
        Err(StepError::new(
            ErrorKind::Unavailable,
            "old transactions are open, which a migration would wait for",
        )
        .fact("transactions", old.join("; ")))
    }
}

#[async_trait]
impl Engine for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn is_there(&self) -> Result<bool, StepError> {
        Ok(true)
    }

    async fn open(&self, access: Access, cancel: &CancelToken) -> Result<Box<dyn Session>, StepError> {
        let mut session = PostgresSession::open(&self.server, &self.waits, "flow-migrate", cancel).await?;
        session.restrict(access).await?;
        Ok(Box::new(session))
    }

    async fn lock(&self, owner: &Owner, cancel: &CancelToken) -> Result<Box<dyn Lock>, StepError> {
        Ok(Box::new(PostgresLock::take(&self.server, &self.waits, owner, cancel).await?))
    }

    async fn software(&self, session: &mut dyn Session) -> Result<Software, StepError> {
        let rows = session.query("SHOW server_version", &[]).await?;
        Ok(Software { product: "postgres", version: rows.into_iter().flatten().flatten().collect() })
    }

    async fn preflight(&self, work: &mut dyn Session, lock: &mut dyn Session) -> Result<(), StepError> {
        self.check_sessions(work, lock).await?;
        self.check_server(work).await?;
        self.check_transactions(work, lock.id()).await
    }

    async fn schema_of_tables(&self, session: &mut dyn Session) -> Result<String, StepError> {
        let ask = "SELECT pg_catalog.quote_ident(pg_catalog.current_schema())";
        let rows = session.query(ask, &[]).await?;
        rows.into_iter()
            .flatten()
            .flatten()
            .next()
            .ok_or_else(|| StepError::new(ErrorKind::Denied, "no schema of the user's search path is there"))
    }

    async fn tables(&self, session: &mut dyn Session, schema: &str) -> Result<Vec<String>, StepError> {
        let mut there = Vec::new();
        for table in TABLES {
            let ask = format!("SELECT pg_catalog.to_regclass('{}.{table}')", schema.replace('\'', "''"));
            if session.query(&ask, &[]).await?.concat().iter().any(Option::is_some) {
                there.push(table.to_owned());
            }
        }
        Ok(there)
    }

    fn create_tables(&self, schema: &str) -> Vec<String> {
        tables::create(schema)
    }

    async fn schema(&self, session: &mut dyn Session) -> Result<Schema, StepError> {
        schema::read(session).await
    }

    async fn footprint(
        &self,
        session: &mut dyn Session,
        statement: &str,
    ) -> Result<Option<Footprint>, StepError> {
        let stands = footprint::read(session, statement).await?;
        Ok(Some(Footprint { digest: Digest::of(stands.as_bytes()), drops_remain: false }))
    }

    async fn clear(&self, session: &mut dyn Session, statement: &str) -> Result<(), StepError> {
        footprint::clear(session, statement).await
    }

    async fn key_column(
        &self,
        session: &mut dyn Session,
        table: &str,
        key: &str,
    ) -> Result<Option<KeyColumn>, StepError> {
        let rows = session.query(KEY, &[Some(table), Some(key)]).await?;
        Ok(rows.concat().into_iter().flatten().next().map(|found| KeyColumn {
            leads_unique: !found.starts_with('-'),
            type_name: found.trim_start_matches('-').to_owned(),
        }))
    }

    async fn is_alive(&self, session: &mut dyn Session, id: &str) -> Result<bool, StepError> {
        let (pid, began) = id.split_once(' ').unwrap_or((id, ""));
        let alive = "SELECT pid::text FROM pg_catalog.pg_stat_activity
             WHERE pid::text = ? AND extract(epoch FROM backend_start)::text = ?";
        Ok(!session.query(alive, &[Some(pid), Some(began)]).await?.is_empty())
    }
}

/// Whether the server is new enough, by its `server_version_num`: the first number times 10000, and the second.
fn check_version(version: &str) -> Result<(), StepError> {
    if version.parse::<u32>().is_ok_and(|number| number >= VERSION_MIN) {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "the server is older than version 12").fact("version", version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_its_version() {
        for new in ["120000", "150018", "180000"] {
            check_version(new).unwrap();
        }
        for old in ["119999", "90624", ""] {
            let error = check_version(old).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert_eq!(error.facts().collect::<Vec<_>>(), [("version", old)]);
        }
    }
}
