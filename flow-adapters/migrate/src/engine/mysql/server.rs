use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use flow_sql::{Dialect, Token, lex};

use super::connection::{MysqlSession, began};
use super::lock::MysqlLock;
use super::{footprint, schema, tables};
use crate::config::{Server, Waits};
use crate::engine::{Access, Engine, Footprint, KeyColumn, Lock, Owner, Session, Software};
use crate::ledger::TABLES;
use crate::schema::Schema;

/// The oldest versions with atomic DDL: a statement took effect, or it did not.
const MARIADB_MIN: (u32, u32) = (10, 6);
const MYSQL_MIN: (u32, u32) = (8, 0);

/// One database of one MariaDB or MySQL server.
#[derive(Debug)]
pub(crate) struct Mysql {
    server: Server,
    waits: Waits,
}

impl Mysql {
    pub(crate) const fn new(server: Server, waits: Waits) -> Self {
        Self { server, waits }
    }

    async fn check_transactions(&self, work: &mut dyn Session) -> Result<(), StepError> {
        let old = format!(
            "SELECT CONCAT_WS(' ', 'connection', trx_mysql_thread_id, trx_state, 'since', trx_started)
             FROM information_schema.INNODB_TRX WHERE trx_started < NOW() - INTERVAL {} SECOND",
            self.waits.transactions.as_secs()
        );
        let rows = match work.query(&old, &[]).await {
            Ok(rows) => rows,
            // Only users with the right `PROCESS` are shown transactions.
            Err(error) if error.kind() == ErrorKind::Denied => return Ok(()),
            Err(error) => return Err(error),
        };
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
impl Engine for Mysql {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    async fn is_there(&self) -> Result<bool, StepError> {
        Ok(true)
    }

    async fn open(&self, access: Access, cancel: &CancelToken) -> Result<Box<dyn Session>, StepError> {
        let mut session = MysqlSession::open(&self.server, &self.waits, cancel).await?;
        session.restrict(access).await?;
        Ok(Box::new(session))
    }

    async fn lock(&self, _owner: &Owner, cancel: &CancelToken) -> Result<Box<dyn Lock>, StepError> {
        Ok(Box::new(MysqlLock::take(&self.server, &self.waits, cancel).await?))
    }

    async fn software(&self, session: &mut dyn Session) -> Result<Software, StepError> {
        let rows = session.query("SELECT VERSION()", &[]).await?;
        let version: String = rows.into_iter().flatten().flatten().collect();
        let product = if version.contains("MariaDB") { "mariadb" } else { "mysql" };
        Ok(Software { product, version })
    }

    async fn preflight(&self, work: &mut dyn Session, lock: &mut dyn Session) -> Result<(), StepError> {
        check_version(&self.software(work).await?)?;
        let read_only = work.query("SELECT @@global.read_only OR @@session.tx_read_only", &[]).await;
        // MySQL calls the second one otherwise.
        let read_only = match read_only {
            Err(_) => work.query("SELECT @@global.read_only OR @@session.transaction_read_only", &[]).await?,
            Ok(rows) => rows,
        };
        if read_only.concat().iter().flatten().any(|answer| answer != "0") {
            return Err(StepError::new(ErrorKind::Denied, "the server or the session is read-only"));
        }
        if work.id() == lock.id() {
            return Err(StepError::new(
                ErrorKind::Denied,
                "a pooler gives one session of the server to both of ours",
            ));
        }
        self.check_transactions(work).await
    }

    async fn schema_of_tables(&self, _session: &mut dyn Session) -> Result<String, StepError> {
        Ok(format!("`{}`", self.server.database.replace('`', "``")))
    }

    async fn tables(&self, session: &mut dyn Session, schema: &str) -> Result<Vec<String>, StepError> {
        let mut there = Vec::new();
        for table in TABLES {
            if !session.query(&format!("SHOW TABLES FROM {schema} LIKE '{table}'"), &[]).await?.is_empty() {
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
        footprint::read(session, statement).await
    }

    async fn clear(&self, _session: &mut dyn Session, _statement: &str) -> Result<(), StepError> {
        // DDL is atomic: a failed statement leaves nothing.
        Ok(())
    }

    async fn key_column(
        &self,
        session: &mut dyn Session,
        table: &str,
        key: &str,
    ) -> Result<Option<KeyColumn>, StepError> {
        let name = lex(Dialect::Mysql, key).unwrap_or_default().first().and_then(Token::identifier);
        let is_key = |column: Option<&Option<String>>| {
            column
                .and_then(Option::as_ref)
                .zip(name.as_ref())
                .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        // The columns are: the column, its type; and: the table, non-unique, the index, its place in it, the column.
        let columns = session.query(&format!("SHOW COLUMNS FROM {table}"), &[]).await?;
        let indexes = session
            .query(&format!("SHOW INDEX FROM {table} WHERE Non_unique = 0 AND Seq_in_index = 1"), &[])
            .await?;
        let column = columns.into_iter().find(|row| is_key(row.first()));
        Ok(column.and_then(|row| row.into_iter().nth(1).flatten()).map(|type_name| KeyColumn {
            type_name,
            leads_unique: indexes.iter().any(|row| is_key(row.get(4))),
        }))
    }

    async fn is_alive(&self, session: &mut dyn Session, id: &str) -> Result<bool, StepError> {
        let (connection, start) = id.split_once(' ').unwrap_or((id, ""));
        let alive = "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE CAST(ID AS CHAR) = ?";
        let shown = !session.query(alive, &[Some(connection)]).await?.is_empty();
        let now = began(session).await?;
        Ok(shown && start.parse::<i64>().is_ok_and(|start| (start - now).abs() <= 2))
    }
}

fn check_version(software: &Software) -> Result<(), StepError> {
    let least = if software.product == "mariadb" { MARIADB_MIN } else { MYSQL_MIN };
    if numbers(&software.version) >= least {
        return Ok(());
    }
    let message = "the server is too old: its DDL is not atomic";
    Err(StepError::new(ErrorKind::Conflict, message).fact("version", &software.version))
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_its_version() {
        for (product, version, is_new) in [
            ("mariadb", "10.11.6-MariaDB-0+deb12u1", true),
            ("mariadb", "10.6.0-MariaDB", true),
            ("mariadb", "10.5.9-MariaDB", false),
            ("mariadb", "11.4.2-MariaDB", true),
            ("mysql", "8.0.36", true),
            ("mysql", "5.7.44-log", false),
        ] {
            let checked = check_version(&Software { product, version: version.to_owned() });
            let Err(error) = checked else {
                assert!(is_new, "{version}");
                continue;
            };
            assert!(!is_new && error.kind() == ErrorKind::Conflict, "{version}");
            assert_eq!(error.facts().collect::<Vec<_>>(), [("version", version)]);
        }
    }
}
