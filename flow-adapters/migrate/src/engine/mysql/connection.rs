//! One dedicated session.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::fault::{connecting, ending, fault};
use crate::config::{Server, Waits};
use crate::engine::cancel::interruptible;
use crate::engine::write::{Opening, Write, bound, message};
use crate::engine::{Access, Row, Session};
use crate::ledger::hex;

#[derive(Debug)]
pub(super) struct MysqlSession {
    connection: MySqlConnection,
    server: Server,
    waits: Waits,
    cancel: CancelToken,
    id: String,
    opening: Opening,
}

impl MysqlSession {
    pub(super) async fn open(
        server: &Server,
        waits: &Waits,
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        let connection = connect(server).await?;
        let cancel = cancel.clone();
        let mut session = Self {
            connection,
            server: server.clone(),
            waits: waits.clone(),
            cancel,
            id: String::new(),
            opening: Opening::default(),
        };
        session.prepare().await?;
        Ok(session)
    }

    async fn prepare(&mut self) -> Result<(), StepError> {
        // The driver asks for IGNORE_SPACE when it connects. The plain client does not: scripts would mean something else, and triggers and
        // routines keep the mode that they were made in.
        self.execute("SET SESSION sql_mode = @@GLOBAL.sql_mode").await?;
        self.wait_for_locks(Some(self.waits.tables)).await?;
        // Limits that the user was given are those of an application: the session with the lock is idle for as long as a statement
        // takes. What stands in the comment is MariaDB's; MySQL has no such limit for statements that write.
        let statement = self.waits.statement.unwrap_or_default().as_secs_f64();
        let set = format!(
            "SET SESSION wait_timeout = 31536000 /*M!, SESSION max_statement_time = {statement}, SESSION idle_transaction_timeout = 0,
             SESSION idle_readonly_transaction_timeout = 0, SESSION idle_write_transaction_timeout = 0 */"
        );
        self.execute(&set).await?;
        self.id = self.who().await?;
        Ok(())
    }

    /// The connection, and about when the server began: after a restart it counts its connections from the start again.
    pub(super) async fn who(&mut self) -> Result<String, StepError> {
        let rows = self.query("SELECT CONNECTION_ID()", &[]).await?;
        let connection: String = rows.into_iter().flatten().flatten().collect();
        Ok(format!("{connection} {}", began(self).await?))
    }

    /// Asks for read-only work of one moment.
    pub(super) async fn restrict(&mut self, access: Access) -> Result<(), StepError> {
        match access {
            Access::Read => self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await,
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

async fn connect(server: &Server) -> Result<MySqlConnection, StepError> {
    let options = server.mysql().disable_statement_logging();
    options.connect().await.map_err(|error| connecting(error, server))
}

/// When the server began, in seconds of its clock, give or take one.
pub(super) async fn began(session: &mut dyn Session) -> Result<i64, StepError> {
    let now = session.query("SELECT UNIX_TIMESTAMP()", &[]).await?;
    let up = session.query("SHOW GLOBAL STATUS LIKE 'Uptime'", &[]).await?;
    let number = |rows: Vec<Row>| rows.first()?.last()?.as_ref()?.parse::<i64>().ok();
    number(now)
        .zip(number(up))
        .map(|(now, up)| now - up)
        .ok_or_else(|| StepError::new(ErrorKind::Denied, "the server does not say since when it runs"))
}

/// Asks the server to interrupt what the session `id` runs.
async fn interrupt(server: &Server, waits: &Waits, id: &str) -> Result<(), StepError> {
    let connection = id.split(' ').next().unwrap_or_default();
    let mut other = Box::pin(MysqlSession::open(server, waits, &CancelToken::new())).await?;
    other.execute(&format!("KILL QUERY {connection}")).await
}

#[async_trait]
impl Session for MysqlSession {
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
        self.opening = Opening::by("START TRANSACTION");
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
        let _ = self.connection.execute(sqlx::raw_sql("ROLLBACK")).await;
    }

    async fn wait_for_locks(&mut self, patience: Option<Duration>) -> Result<(), StepError> {
        // Whole seconds, and no zero; a year stands for ever.
        let seconds = patience.map_or(31_536_000, |patience| patience.as_secs().max(1));
        let set = format!(
            "SET SESSION lock_wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}"
        );
        self.execute(&set).await
    }

    async fn renew(&mut self) -> Result<(), StepError> {
        let connection = connect(&self.server).await?;
        let old = std::mem::replace(&mut self.connection, connection);
        // Its end is the server's to see as well.
        let _ = old.close().await;
        self.prepare().await
    }

    async fn close(self: Box<Self>) -> Result<(), StepError> {
        let cancel = self.cancel;
        self.connection.close().await.map_err(|error| fault(error, &cancel))
    }
}

/// The same whatever a script made of `sql_mode` and `character_set_client`.
#[expect(clippy::unnecessary_wraps, reason = "not every dialect can write every text")]
fn literal(value: &str) -> Result<String, StepError> {
    Ok(format!("_utf8mb4 x'{}'", hex(value.as_bytes())))
}

/// Text as it is, whatever its column's type: everything comes as text here, and some of it is declared binary.
fn row(row: &MySqlRow) -> Result<Row, StepError> {
    (0..row.len())
        .map(|index| {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).map_err(unreadable)?;
            bytes.map(String::from_utf8).transpose().map_err(unreadable)
        })
        .collect()
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "a value of the database cannot be read").because(error)
}
