//! One dedicated connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::catalogue::texts;
use super::fault::{commit_left_nothing, fault, is_recovery_due};
use crate::config::MissingDatabase;
use crate::engine::write::{Opening, Write, bound, message};
use crate::engine::{Access, Row, Session};

/// How many instructions SQLite's machine runs between two looks at whether to stop.
const INSTRUCTIONS_BETWEEN_LOOKS: i32 = 10_000;

/// A database file and how to open it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    path: PathBuf,
    busy_timeout: Duration,
    missing: MissingDatabase,
}

/// How far a committed transaction outlives the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power failure after the commit takes nothing back.
    Durable,
    /// For a copy that is thrown away.
    Throwaway,
}

impl Database {
    pub(crate) const fn new(path: PathBuf, busy_timeout: Duration, missing: MissingDatabase) -> Self {
        Self { path, busy_timeout, missing }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is not and should be.
    pub(crate) async fn is_there(&self) -> Result<bool, StepError> {
        // Only looks at the name: opening and closing the file would drop this process's locks on it.
        match tokio::fs::try_exists(&self.path).await {
            Ok(true) => Ok(true),
            Ok(false) if self.missing == MissingDatabase::Create => Ok(false),
            Ok(false) => Err(self.is_missing()),
            Err(error) => Err(StepError::new(ErrorKind::Denied, "the database's place cannot be looked at")
                .fact("path", self.path.display())
                .because(error)),
        }
    }

    /// That the file is not there, as an error.
    pub(crate) fn is_missing(&self) -> StepError {
        StepError::new(ErrorKind::NotFound, "there is no such database file")
            .fact("path", self.path.display())
    }

    /// Opens the database read-only.
    ///
    /// A writer that died may have left a journal that has to be played back before anything can be read, which a
    /// read-only connection cannot do. Another one does it first, as any reader of the application would. The
    /// content that was committed last stays what it is.
    pub(crate) async fn read(&self) -> Result<SqliteSession, StepError> {
        let read_only = self.options().read_only(true);
        match probe(&read_only).await {
            Err(error) if is_recovery_due(&error) => {
                let recovering = self.options().pragma("query_only", "ON");
                probe(&recovering).await.map_err(fault)?.close().await?;
                probe(&read_only).await.map_err(fault)
            }
            opened => opened.map_err(fault),
        }
    }

    /// Opens the database read-only and holds on to what was committed last.
    pub(crate) async fn read_snapshot(&self) -> Result<SqliteSession, StepError> {
        let mut session = self.read().await?;
        session.execute("PRAGMA query_only = ON").await?;
        session.execute("BEGIN").await?;
        // The snapshot is taken by the first read.
        session.execute(PROBE).await?;
        Ok(session)
    }

    /// Opens a session of either access.
    pub(crate) async fn open(
        &self,
        access: Access,
        cancel: &CancelToken,
    ) -> Result<SqliteSession, StepError> {
        match access {
            Access::Read => self.read_snapshot().await,
            Access::Write => self.write(Durability::Durable, cancel).await,
        }
    }

    /// Opens the database for writing.
    pub(crate) async fn write(
        &self,
        durability: Durability,
        cancel: &CancelToken,
    ) -> Result<SqliteSession, StepError> {
        let synchronous = match durability {
            // With a rollback journal, only `EXTRA` survives a power failure right after the commit.
            Durability::Durable => SqliteSynchronous::Extra,
            Durability::Throwaway => SqliteSynchronous::Off,
        };
        let create = self.missing == MissingDatabase::Create;
        let options = self.options().create_if_missing(create).synchronous(synchronous);
        SqliteSession::open(&options, cancel).await.map_err(fault)
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.busy_timeout)
            // Rebuilding a parent table with enforcement on deletes its children's rows, and the setting cannot be
            // changed inside the transaction; the references are checked before each commit instead.
            .foreign_keys(false)
            .disable_statement_logging()
    }
}

const PROBE: &str = "SELECT count(*) FROM sqlite_master";

/// Opens a connection and reads, so that whatever stands in the way of reading is known.
async fn probe(options: &SqliteConnectOptions) -> Result<SqliteSession, sqlx::Error> {
    let mut session = SqliteSession::open(options, &CancelToken::new()).await?;
    session.connection.execute(PROBE).await?;
    Ok(session)
}

/// Sets the flag when it goes, so that a statement under way stops when nobody waits for it any more.
#[derive(Debug)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One dedicated connection.
#[derive(Debug)]
pub(crate) struct SqliteSession {
    // Stands before the connection, so that it is dropped first.
    _stop: StopOnDrop,
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    cancel: CancelToken,
    opening: Opening,
}

impl SqliteSession {
    async fn open(options: &SqliteConnectOptions, cancel: &CancelToken) -> Result<Self, sqlx::Error> {
        let mut connection = options.connect().await?;
        let dropped = Arc::new(AtomicBool::new(false));
        let stop = StopOnDrop(Arc::clone(&dropped));
        let asked = cancel.clone();
        connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS_BETWEEN_LOOKS, move || {
            !dropped.load(Ordering::Relaxed) && !asked.is_cancelled()
        });
        Ok(Self {
            _stop: stop,
            connection,
            options: options.clone(),
            cancel: cancel.clone(),
            opening: Opening::default(),
        })
    }

    /// Runs one statement.
    pub(crate) async fn execute(&mut self, statement: &str) -> Result<(), StepError> {
        // The text is the operator's own script, or built by this crate from quoted names.
        let text = self.opening.before(statement);
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(text.as_ref()))).await.map(drop).map_err(fault)
    }

    /// The rows of one statement, one after the other.
    pub(crate) fn stream(&mut self, statement: &str) -> BoxStream<'_, Result<SqliteRow, StepError>> {
        let text = self.opening.before(statement).into_owned();
        let rows = self.connection.fetch(sqlx::raw_sql(AssertSqlSafe(text)));
        Box::pin(rows.map_err(fault))
    }

    /// Begins a transaction that holds the write lock from its first moment.
    pub(crate) fn begin(&mut self) {
        self.opening = Opening::by("BEGIN IMMEDIATE");
    }

    /// Commits, or takes everything back.
    ///
    /// # Errors
    /// A rejection where the transaction certainly left nothing; in doubt where the commit's end is unknown.
    pub(crate) async fn commit(&mut self) -> Result<(), StepError> {
        if self.opening.forget() {
            return Ok(());
        }
        let Err(error) = self.connection.execute("COMMIT").await else { return Ok(()) };
        let sure = commit_left_nothing(&error);
        self.roll_back().await;
        let error = fault(error);
        Err(if sure { error } else { error.after_effect() })
    }

    /// Ends the transaction with nothing changed. SQLite may have done so already, and closing the connection
    /// does it in any case, so its own failure says nothing.
    pub(crate) async fn roll_back(&mut self) {
        if self.opening.forget() {
            return;
        }
        let _ = self.connection.execute("ROLLBACK").await;
    }

    /// Closes the connection and waits until its locks are gone.
    pub(crate) async fn close(self) -> Result<(), StepError> {
        self.connection.close().await.map_err(fault)
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn id(&self) -> &'static str {
        // What a dead process ran ended with it.
        "this process"
    }

    async fn execute(&mut self, statement: &str) -> Result<(), StepError> {
        Self::execute(self, statement).await
    }

    async fn query(&mut self, statement: &str, values: &[Option<&str>]) -> Result<Vec<Row>, StepError> {
        let text = bound(statement, values, literal)?;
        let text = self.opening.before(&text);
        let rows = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text.as_ref()))).await;
        rows.map_err(fault)?.iter().map(texts).collect()
    }

    async fn begin(&mut self) -> Result<(), StepError> {
        Self::begin(self);
        Ok(())
    }

    async fn write(&mut self, writes: &[Write]) -> Result<(), StepError> {
        Self::execute(self, &message(writes, "", literal)?).await
    }

    async fn commit(&mut self, writes: &[Write]) -> Result<(), StepError> {
        if !writes.is_empty()
            && let Err(error) = self.write(writes).await
        {
            Self::roll_back(self).await;
            return Err(error);
        }
        Self::commit(self).await
    }

    async fn roll_back(&mut self) {
        Self::roll_back(self).await;
    }

    async fn wait_for_locks(&mut self, patience: Option<Duration>) -> Result<(), StepError> {
        let patience = patience.map_or(u128::from(i32::MAX.unsigned_abs()), |patience| patience.as_millis());
        self.execute(&format!("PRAGMA busy_timeout = {patience}")).await
    }

    async fn renew(&mut self) -> Result<(), StepError> {
        let fresh = Self::open(&self.options, &self.cancel).await.map_err(fault)?;
        std::mem::replace(self, fresh).close().await
    }

    async fn close(self: Box<Self>) -> Result<(), StepError> {
        Self::close(*self).await
    }
}

/// SQLite knows no escapes in a text.
fn literal(value: &str) -> Result<String, StepError> {
    if value.contains('\0') {
        return Err(StepError::new(ErrorKind::Failed, "a text with a zero byte cannot be kept"));
    }
    Ok(format!("'{}'", value.replace('\'', "''")))
}
