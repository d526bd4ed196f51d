//! One dedicated session.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::fault::{connecting, ending, fault};
use crate::config::{Server, Waits};
use crate::engine::cancel::interruptible;
use crate::engine::write::{Opening, Write, bound, message};
use crate::engine::{Access, Row, Session};

/// Backends look this often whether their client is still there while a statement runs, so that the statement of a dead migrator ends.
const CLIENT_CHECK: &str = "; SET client_connection_check_interval = '2s'";
const CLIENT_CHECK_SINCE: u32 = 140_000;

/// The other limits of a session, and the versions that brought them.
const LIMITS: [(u32, &str); 3] = [
    (90_600, "idle_in_transaction_session_timeout"),
    (140_000, "idle_session_timeout"),
    (170_000, "transaction_timeout"),
];

/// What `DISCARD ALL` does, in a form that may be sent in one message.
const RENEW: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

const WHO: &str = "SELECT pid, extract(epoch FROM backend_start) FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())";

/// The driver begins each session in UTC and with dates as `ISO, MDY`, over what was set for the database or the user, and what a script
/// means depends on both. The last one counts (`ALTER ROLE` of the manual). What the server's own file says is hidden behind the driver's.
const DATES: &str = "SELECT pg_catalog.set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), false)
    FROM (SELECT unnest(setconfig) AS setting, setrole, setdatabase FROM pg_catalog.pg_db_role_setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
        AND setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
        ORDER BY setrole <> 0, setdatabase <> 0) AS own
    WHERE lower(split_part(setting, '=', 1)) IN ('timezone', 'datestyle')";

#[derive(Debug)]
pub(super) struct PostgresSession {
    connection: PgConnection,
    server: Server,
    waits: Waits,
    cancel: CancelToken,
    id: String,
    opening: Opening,
}

impl PostgresSession {
    pub(super) async fn open(
        server: &Server,
        waits: &Waits,
        name: &str,
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        let options = server.postgres().application_name(name).disable_statement_logging();
        let connection = options.connect().await.map_err(|error| connecting(error, server))?;
        let cancel = cancel.clone();
        let mut session = Self {
            connection,
            server: server.clone(),
            waits: waits.clone(),
            cancel,
            id: String::new(),
            opening: Opening::default(),
        };
        session.execute(&session.limits()).await?;
        session.set_dates().await?;
        session.id = session.who().await?;
        Ok(session)
    }

    /// The backend's process and when it began: processes have their ids again, after a while.
    pub(super) async fn who(&mut self) -> Result<String, StepError> {
        let rows = self.query(WHO, &[]).await?;
        let id = rows.first().map(|row| row.iter().flatten().cloned().collect::<Vec<_>>().join(" "));
        id.ok_or_else(|| StepError::new(ErrorKind::Denied, "the server does not say which session this is"))
    }

    /// Limits that the user was given are those of an application: the session with the lock is idle for as long as a statement takes.
    fn limits(&self) -> String {
        let since = |version| self.connection.server_version_num().is_some_and(|number| number >= version);
        let known = LIMITS.iter().filter(|(version, _)| since(*version));
        let others: String = known.map(|(_, name)| format!("; SET {name} = 0")).collect();
        let check = if since(CLIENT_CHECK_SINCE) { CLIENT_CHECK } else { "" };
        let statement = self.waits.statement.unwrap_or_default().as_millis();
        format!(
            "SET lock_timeout = {}; SET statement_timeout = {statement}{others}{check}",
            self.waits.tables.as_millis()
        )
    }

    async fn set_dates(&mut self) -> Result<(), StepError> {
        // Most databases have no settings of their own, and that is known in a third of the time.
        let any = self.query("SELECT 1 FROM pg_catalog.pg_db_role_setting LIMIT 1", &[]).await?;
        if any.is_empty() { Ok(()) } else { self.execute(DATES).await }
    }

    /// Asks for read-only work of one moment.
    pub(super) async fn restrict(&mut self, access: Access) -> Result<(), StepError> {
        match access {
            Access::Read => self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
            Access::Write => Ok(()),
        }
    }

    async fn run(&mut self, statement: &str) -> Result<(), sqlx::Error> {
        // The text is the operator's own script, or built by this crate from quoted names.
        let text = self.opening.before(statement);
        let running = self.connection.execute(sqlx::raw_sql(AssertSqlSafe(text.as_ref())));
        let interrupt = interrupt(&self.server, &self.waits, &self.id);
        interruptible(running, &self.cancel, interrupt).await.map(drop)
    }
}

/// Asks the server to interrupt what the session `id` runs.
async fn interrupt(server: &Server, waits: &Waits, id: &str) -> Result<(), StepError> {
    let pid = id.split(' ').next().unwrap_or_default();
    let mut other =
        Box::pin(PostgresSession::open(server, waits, "flow-migrate cancel", &CancelToken::new())).await?;
    other.execute(&format!("SELECT pg_catalog.pg_cancel_backend({pid})")).await
}

#[async_trait]
impl Session for PostgresSession {
    fn id(&self) -> &str {
        &self.id
    }

    async fn execute(&mut self, statement: &str) -> Result<(), StepError> {
        self.run(statement).await.map_err(|error| fault(error, &self.cancel))
    }

    async fn query(&mut self, statement: &str, values: &[Option<&str>]) -> Result<Vec<Row>, StepError> {
        let text = bound(statement, values, literal)?;
        let text = self.opening.before(&text);
        let rows = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text.as_ref()))).await;
        rows.map_err(|error| fault(error, &self.cancel))?.iter().map(row).collect()
    }

    async fn begin(&mut self) -> Result<(), StepError> {
        self.opening = Opening::by("BEGIN");
        Ok(())
    }

    async fn write(&mut self, writes: &[Write]) -> Result<(), StepError> {
        self.execute(&message(writes, "", literal)?).await
    }

    async fn commit(&mut self, writes: &[Write]) -> Result<(), StepError> {
        let text = message(writes, "COMMIT", literal)?;
        let text = self.opening.before(&text);
        let ended = self.connection.execute(sqlx::raw_sql(AssertSqlSafe(text.as_ref()))).await;
        let Err(error) = ended else { return Ok(()) };
        self.roll_back().await;
        Err(ending(error))
    }

    async fn roll_back(&mut self) {
        if self.opening.forget() {
            return;
        }
        let _ = self.connection.execute("ROLLBACK").await;
    }

    async fn wait_for_locks(&mut self, patience: Option<Duration>) -> Result<(), StepError> {
        self.execute(&format!("SET lock_timeout = {}", patience.unwrap_or_default().as_millis())).await
    }

    async fn regain(&mut self) -> Result<(), StepError> {
        self.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT").await
    }

    async fn renew(&mut self) -> Result<(), StepError> {
        self.execute(&format!("{RENEW}; {}", self.limits())).await?;
        self.set_dates().await
    }

    async fn close(self: Box<Self>) -> Result<(), StepError> {
        let cancel = self.cancel;
        self.connection.close().await.map_err(|error| fault(error, &cancel))
    }
}

/// ASCII alone, and the same whatever a script made of `client_encoding` and `standard_conforming_strings`.
fn literal(value: &str) -> Result<String, StepError> {
    let mut text = "E'".to_owned();
    for character in value.chars() {
        match character {
            '\0' => {
                return Err(StepError::new(ErrorKind::Failed, "a text with a zero byte cannot be kept"));
            }
            '\'' => text += "''",
            '\\' => text += "\\\\",
            ascii if ascii.is_ascii() => text.push(ascii),
            other => text += &format!("\\U{:08X}", u32::from(other)),
        }
    }
    text.push('\'');
    Ok(text)
}

fn row(row: &PgRow) -> Result<Row, StepError> {
    (0..row.len()).map(|index| row.try_get_unchecked(index).map_err(unreadable)).collect()
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "a value of the database cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_so_that_no_setting_reads_them_otherwise() {
        let values = [Some("it's \\ ?"), None, Some("\u{e9}\u{1f600}")];
        let text = bound("SELECT ?, ? WHERE a = ?", &values, literal).unwrap();
        assert_eq!(text, r"SELECT E'it''s \\ ?', NULL WHERE a = E'\U000000E9\U0001F600'");
        assert_eq!(bound("SELECT 1", &[], literal).unwrap(), "SELECT 1");
        assert_eq!(bound("SELECT ?", &[Some("\0")], literal).unwrap_err().kind(), ErrorKind::Failed);
    }
}
