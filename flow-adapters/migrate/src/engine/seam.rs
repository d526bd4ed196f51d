//! The seam between the running of migrations and the databases.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, Digest, Permit, StepError};
use flow_sql::{Dialect, Statement};

use super::mysql::Mysql;
use super::postgres::Postgres;
use super::sqlite::{Database, Sqlite};
use super::write::Write;
use crate::config::{Place, SqlConfig};
use crate::schema::Schema;

/// The engine of a configuration.
pub(crate) fn engine(config: &SqlConfig) -> Arc<dyn Engine> {
    let waits = config.waits.clone();
    match config.target.place() {
        Place::Postgres(server) => Arc::new(Postgres::new(server.clone(), waits)),
        Place::Mysql(server) => Arc::new(Mysql::new(server.clone(), waits)),
        Place::Sqlite(path) => {
            let database = Database::new(path.clone(), waits.tables, config.missing);
            Arc::new(Sqlite::new(database, waits))
        }
    }
}

/// One database.
#[async_trait]
pub(crate) trait Engine: Send + Sync + fmt::Debug {
    /// The language of its scripts.
    fn dialect(&self) -> Dialect;

    /// Whether the database is there. Where it is not and must be, that is an error.
    async fn is_there(&self) -> Result<bool, StepError>;

    /// Opens a session of its own, never one of a pool. `cancel` interrupts the statement under way.
    async fn open(&self, access: Access, cancel: &CancelToken) -> Result<Box<dyn Session>, StepError>;

    /// Takes the lock that only one migrator holds, waiting for it.
    ///
    /// # Errors
    /// [`Unavailable`](flow_core::ErrorKind::Unavailable) with the fact `holder` where the time is up.
    async fn lock(&self, owner: &Owner, cancel: &CancelToken) -> Result<Box<dyn Lock>, StepError>;

    /// Reads what kind of server answers.
    async fn software(&self, session: &mut dyn Session) -> Result<Software, StepError>;

    /// Looks for what stands in the way of any migration: a server that is too old or read-only, missing rights, old transactions, and
    /// a pooler that gives one server session to both of ours.
    async fn preflight(&self, work: &mut dyn Session, lock: &mut dyn Session) -> Result<(), StepError>;

    /// The schema that the tables of the history are in, quoted: whatever a script sets, they are found by it.
    async fn schema_of_tables(&self, session: &mut dyn Session) -> Result<String, StepError>;

    /// Which of the tables of the history are in `schema`.
    async fn tables(&self, session: &mut dyn Session, schema: &str) -> Result<Vec<String>, StepError>;

    /// The statements that make the tables of the history in `schema` where they are missing.
    fn create_tables(&self, schema: &str) -> Vec<String>;

    /// The schema now, without what belongs to the server and to us.
    async fn schema(&self, session: &mut dyn Session) -> Result<Schema, StepError>;

    /// What stands now of the objects that a statement which commits by itself names. It differs from what it was before exactly
    /// where the statement, or a part of it, took an effect that cannot be repeated. None where no effect can be seen.
    async fn footprint(
        &self,
        session: &mut dyn Session,
        statement: &str,
    ) -> Result<Option<Footprint>, StepError>;

    /// Removes what a failed attempt of a statement that commits by itself left behind, such as an invalid index.
    async fn clear(&self, session: &mut dyn Session, statement: &str) -> Result<(), StepError>;

    /// What is known of the column `key` of `table`, both as a script writes them; none where there is no such column.
    async fn key_column(
        &self,
        session: &mut dyn Session,
        table: &str,
        key: &str,
    ) -> Result<Option<KeyColumn>, StepError>;

    /// Whether `statements` can break a reference between tables without the server's notice.
    fn can_break_references(&self, _statements: &[Statement]) -> bool {
        false
    }

    /// Whether the session `id`, as [`Session::id`] gave it, is still there: its last statement may be running.
    async fn is_alive(&self, session: &mut dyn Session, id: &str) -> Result<bool, StepError>;
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing is changed, and what is read is of one moment.
    Read,
    /// Anything.
    Write,
}

/// One dedicated connection. Dropped, it is closed, and the server takes back what was not committed.
#[async_trait]
pub(crate) trait Session: Send + fmt::Debug {
    /// Tells this session from every other one, of the past too.
    fn id(&self) -> &str;

    /// Runs one statement by the plain protocol.
    async fn execute(&mut self, statement: &str) -> Result<(), StepError>;

    /// Runs one statement and gives its rows as text. Each `?` stands for one of `values`; with values, every column is text.
    async fn query(&mut self, statement: &str, values: &[Option<&str>]) -> Result<Vec<Row>, StepError>;

    /// Begins a transaction. What begins it may be sent with the first statement in it, and fail there.
    async fn begin(&mut self) -> Result<(), StepError>;

    /// Carries `writes` out in the transaction that is open.
    async fn write(&mut self, writes: &[Write]) -> Result<(), StepError>;

    /// Carries `writes` out and commits, or takes the transaction back.
    ///
    /// # Errors
    /// A rejection where the transaction certainly left nothing; in doubt where the commit's end is unknown.
    async fn commit(&mut self, writes: &[Write]) -> Result<(), StepError>;

    /// Carries `writes` out in a transaction of their own.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn record(&mut self, writes: &[Write]) -> Result<(), StepError> {
        self.begin().await?;
        self.commit(writes).await
    }

    /// Takes the transaction back. Where the connection broke, the server does it by itself.
    async fn roll_back(&mut self);

    /// Sets how long each statement from here on may wait for a lock; none for as long as it takes.
    async fn wait_for_locks(&mut self, patience: Option<Duration>) -> Result<(), StepError>;

    /// Makes the session's user its own again until the transaction ends, whatever role a script took on.
    async fn regain(&mut self) -> Result<(), StepError> {
        Ok(())
    }

    /// Makes the session what it was when it was opened: variables, settings, temporary tables.
    async fn renew(&mut self) -> Result<(), StepError>;

    /// Closes the connection and waits until its locks are gone.
    async fn close(self: Box<Self>) -> Result<(), StepError>;
}

/// One row as text.
pub(crate) type Row = Vec<Option<String>>;

/// The right to migrate, held by one migrator at a time. Dropped, it is given back.
#[async_trait]
pub(crate) trait Lock: Send + fmt::Debug {
    /// Whether the lock is still held, by the same session of the same server.
    ///
    /// # Errors
    /// [`Conflict`](flow_core::ErrorKind::Conflict) where it is not.
    async fn verify(&mut self) -> Result<(), StepError>;

    /// The session that holds the lock, for records that must be durable beside the work.
    fn session(&mut self) -> &mut dyn Session;

    /// Gives the lock back.
    async fn release(self: Box<Self>) -> Result<(), StepError>;
}

/// Who migrates, as other migrators are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) String);

impl Owner {
    pub(crate) fn of(permit: &Permit) -> Self {
        Self(format!("flow-migrate {} {}", std::process::id(), permit.idempotency_key()))
    }
}

/// What answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Software {
    /// `postgres`, `mariadb`, `mysql` or `sqlite`.
    pub(crate) product: &'static str,
    /// The version in its own words.
    pub(crate) version: String,
}

/// A column that rows can be told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Its type as the catalogue names it.
    pub(crate) type_name: String,
    /// Whether a unique index of all rows begins with it.
    pub(crate) leads_unique: bool,
}

/// What stands of the objects that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Tells it from what stood at another time.
    pub(crate) digest: Digest,
    /// Whether some of what the statement drops is still there. Dropping several tables is no one effect on MariaDB.
    pub(crate) drops_remain: bool,
}
