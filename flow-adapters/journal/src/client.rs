//! The file and its SQL: everything that touches the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex as Lock, PoisonError};

use flow_core::journal::RawRecord;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, QueryBuilder, Row as _, Sqlite, SqliteConnection, query, query_scalar};
use tokio::sync::{Mutex, MutexGuard};

use crate::config::SqliteConfig;
use crate::error::{Failure, Kind, OpenError, kind};

/// The layout that this library makes and reads.
pub(crate) const LAYOUT: u32 = 1;

/// Marks a database as a journal ("FLOW"), so that one of something else is never written to.
const APPLICATION: i64 = 0x464c_4f57;

/// A lease stands whole or not at all: whoever takes one of its keys removes it, and its other keys with it. The counter
/// outlives them, so a fence is greater than every earlier one, of whatever run or resource. Records lie in the tree by
/// run and number, without a second tree to keep: one append writes to one place. `head` is the number of the last
/// record; it betrays records that damage took from the end, where the chain of hashes alone shows nothing.
const CREATE: &str = "
    CREATE TABLE fence (latest INTEGER NOT NULL) STRICT;
    INSERT INTO fence (latest) VALUES (0);
    CREATE TABLE lease (
        fence INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, until_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE held (
        key TEXT PRIMARY KEY, fence INTEGER NOT NULL REFERENCES lease (fence) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE run (
        run TEXT PRIMARY KEY, head INTEGER NOT NULL, closed INTEGER NOT NULL CHECK (closed IN (0, 1))
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE record (
        run TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE posted (
        run TEXT NOT NULL, topic TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, topic)
    ) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 0x464c4f57;
    PRAGMA user_version = 1;
";

/// How many records one statement inserts at most; SQLite binds no more than 32,766 values to one.
const AT_ONCE: usize = 1_000;

/// One connection that writes and one that reads. A connection is taken out of its place for a transaction and put back
/// after a clean end. One that failed, or whose caller went away in between, is dropped instead: closing it rolls back
/// whatever was begun, and the next transaction opens a new one.
#[derive(Debug)]
pub(crate) struct Client {
    writes: Place,
    reads: Place,
}

#[derive(Debug)]
struct Place {
    options: SqliteConnectOptions,
    connection: Mutex<Option<SqliteConnection>>,
}

/// A transaction. Dropping it rolls back.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    place: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

/// Where a run stands for whoever writes to it.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Whether the lease under the writer's fence is the run's.
    pub(crate) leased: bool,
    /// The number of the run's last record; none where there is no such run.
    pub(crate) head: Option<i64>,
}

/// Where an append goes: the run, the writer's fence, and the number of the record that it must end with before.
#[derive(Debug)]
pub(crate) struct Tail<'a> {
    pub(crate) run: &'a str,
    pub(crate) fence: i64,
    pub(crate) expected: i64,
}

/// Who holds a key.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) fence: i64,
    pub(crate) owner: String,
    pub(crate) until_ms: i64,
}

/// A record as its columns say.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) body: String,
    pub(crate) hash: Vec<u8>,
}

/// A run as the list of runs has it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) run: String,
    pub(crate) head: i64,
    pub(crate) until_ms: Option<i64>,
}

impl Client {
    /// Opens the file, and makes it where there is none.
    pub(crate) async fn open(config: &SqliteConfig) -> Result<Self, OpenError> {
        config.check().map_err(OpenError::Invalid)?;
        let path = create(&config.path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(config.busy_timeout)
            .pragma("cell_size_check", "ON")
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let reads = Place::new(options.clone().read_only(true), None);
        // The last two only matter on macOS, where fsync alone does not reach the disk.
        let mut options = options
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON");
        if let Some(pages) = config.max_pages() {
            options = options.pragma("max_page_count", pages.to_string());
        }
        let connection = prepare(&path, &options).await?;
        Ok(Self { writes: Place::new(options, Some(connection)), reads })
    }

    /// Begins a transaction that writes. It waits for the one before, of this process or of another.
    pub(crate) async fn write(&self) -> Result<Session<'_>, Failure> {
        Ok(self.writes.begin(query("BEGIN IMMEDIATE; PRAGMA user_version")).await?.0)
    }

    /// Begins a transaction that writes to `run` under `fence`, and says where the run stands in it. Each statement that is
    /// sent alone waits for another thread to wake up; these go together.
    pub(crate) async fn write_to(&self, run: &str, fence: i64) -> Result<(Session<'_>, Standing), Failure> {
        let begin = "BEGIN IMMEDIATE; PRAGMA user_version;
            SELECT EXISTS (SELECT 1 FROM lease WHERE fence = ? AND run = ?), (SELECT head FROM run WHERE run = ?)";
        let (session, row) = self.writes.begin(query(begin).bind(fence).bind(run).bind(run)).await?;
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        Ok((session, Standing { leased: row.try_get(0)?, head: row.try_get(1)? }))
    }

    /// Appends `records` to a run that ends with `expected`, under `fence`. Says whether it could: where the lease is not the
    /// run's, the run ends elsewhere or the layout is a newer one, nothing was changed.
    ///
    /// A statement that is sent waits for another thread to wake up, and that costs as much as half a commit: so the look, the
    /// records and the commit go together, each under the condition that the one before it changed something.
    pub(crate) async fn append(&self, to: &Tail<'_>, records: &[RawRecord]) -> Result<bool, Failure> {
        let head = records.last().map_or(to.expected, |record| signed(record.seq));
        let mut statements =
            QueryBuilder::new("BEGIN IMMEDIATE; INSERT INTO run (run, head, closed) SELECT ");
        statements
            .push_bind(to.run)
            .push(", ")
            .push_bind(head)
            .push(", 0 WHERE EXISTS (SELECT 1 FROM lease WHERE fence = ");
        statements.push_bind(to.fence).push(" AND run = ").push_bind(to.run);
        statements.push(") AND coalesce((SELECT head FROM run WHERE run = ").push_bind(to.run);
        statements.push("), 0) = ").push_bind(to.expected);
        statements.push(" AND (SELECT user_version FROM pragma_user_version) = ").push_bind(LAYOUT);
        statements.push(" ON CONFLICT (run) DO UPDATE SET head = excluded.head");
        for records in records.chunks(AT_ONCE) {
            statements.push("; INSERT INTO record (run, seq, body, hash) SELECT * FROM (");
            statements.push_values(records, |mut row, record| {
                row.push_bind(to.run).push_bind(signed(record.seq));
                row.push_bind(record.body.as_str()).push_bind(record.hash.as_bytes().as_slice());
            });
            statements.push(") WHERE changes() > 0");
        }
        statements.push("; COMMIT; SELECT changes()");
        let mut place = self.writes.connection.lock().await;
        let mut connection = self.writes.taken(&mut place).await?;
        let changed: i64 = statements.build_query_scalar().fetch_one(&mut connection).await?;
        *place = Some(connection);
        Ok(changed > 0)
    }

    /// Begins a transaction that sees one moment of the store and waits for no writer.
    pub(crate) async fn read(&self) -> Result<Session<'_>, Failure> {
        Ok(self.reads.begin(query("BEGIN; PRAGMA user_version")).await?.0)
    }
}

impl Place {
    fn new(options: SqliteConnectOptions, connection: Option<SqliteConnection>) -> Self {
        Self { options, connection: Mutex::new(connection) }
    }

    /// Takes the connection out of its place, or opens one.
    async fn taken(&self, place: &mut Option<SqliteConnection>) -> Result<SqliteConnection, sqlx::Error> {
        match place.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await,
        }
    }

    /// Sends `begin`, whose first row is the layout. Returns the row after it, where there is one.
    async fn begin(
        &self,
        begin: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<(Session<'_>, Option<SqliteRow>), Failure> {
        let mut place = self.connection.lock().await;
        let mut connection = self.taken(&mut place).await?;
        let mut rows = begin.fetch(&mut connection);
        let found = known(rows.try_next().await?.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?);
        if found > LAYOUT {
            return Err(Failure::Newer { found });
        }
        let next = rows.try_next().await?;
        drop(rows);
        Ok((Session { place, connection }, next))
    }
}

impl Session<'_> {
    /// Commits what came to a good result and rolls back the rest.
    ///
    /// Where the commit itself fails, nothing of the transaction is visible to anybody. Only an fsync that fails, followed
    /// by a crash before the next append, may still bring it back, whole.
    pub(crate) async fn end<T, E: From<Failure>>(mut self, result: Result<T, E>) -> Result<T, E> {
        match result {
            Ok(value) => {
                query("COMMIT").execute(&mut self.connection).await.map_err(Failure::from)?;
                *self.place = Some(self.connection);
                Ok(value)
            }
            Err(error) => {
                // A failure may have ended the transaction already; then this one fails and the connection goes.
                if query("ROLLBACK").execute(&mut self.connection).await.is_ok() {
                    *self.place = Some(self.connection);
                }
                Err(error)
            }
        }
    }

    /// The store's own time.
    pub(crate) async fn now_ms(&mut self) -> Result<i64, Failure> {
        let now = query_scalar("SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER)");
        Ok(now.fetch_one(&mut self.connection).await?)
    }

    pub(crate) async fn holder(&mut self, key: &str) -> Result<Option<Holder>, Failure> {
        let select = "SELECT fence, owner, until_ms FROM held JOIN lease USING (fence) WHERE key = ?";
        let Some(row) = query(select).bind(key).fetch_optional(&mut self.connection).await? else {
            return Ok(None);
        };
        Ok(Some(Holder { fence: row.try_get(0)?, owner: row.try_get(1)?, until_ms: row.try_get(2)? }))
    }

    pub(crate) async fn next_fence(&mut self) -> Result<i64, Failure> {
        let next = query_scalar("UPDATE fence SET latest = latest + 1 RETURNING latest");
        Ok(next.fetch_one(&mut self.connection).await?)
    }

    pub(crate) async fn latest_fence(&mut self) -> Result<i64, Failure> {
        Ok(query_scalar("SELECT latest FROM fence").fetch_one(&mut self.connection).await?)
    }

    pub(crate) async fn add_lease(&mut self, run: &str, holder: &Holder) -> Result<(), Failure> {
        let insert = query("INSERT INTO lease (fence, run, owner, until_ms) VALUES (?, ?, ?, ?)");
        let insert = insert.bind(holder.fence).bind(run).bind(&holder.owner).bind(holder.until_ms);
        insert.execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn hold(&mut self, key: &str, fence: i64) -> Result<(), Failure> {
        let insert = query("INSERT INTO held (key, fence) VALUES (?, ?)").bind(key).bind(fence);
        insert.execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn has_lease(&mut self, run: &str, fence: i64) -> Result<bool, Failure> {
        let select = query_scalar("SELECT EXISTS (SELECT 1 FROM lease WHERE fence = ? AND run = ?)");
        Ok(select.bind(fence).bind(run).fetch_one(&mut self.connection).await?)
    }

    /// Returns whether there is such a lease.
    pub(crate) async fn extend_lease(
        &mut self,
        run: &str,
        fence: i64,
        until_ms: i64,
    ) -> Result<bool, Failure> {
        let update = query("UPDATE lease SET until_ms = ? WHERE fence = ? AND run = ?");
        let update = update.bind(until_ms).bind(fence).bind(run).execute(&mut self.connection).await?;
        Ok(update.rows_affected() > 0)
    }

    /// Removes a lease with its keys. Returns whether there was one.
    pub(crate) async fn remove_lease(&mut self, fence: i64) -> Result<bool, Failure> {
        let delete = query("DELETE FROM lease WHERE fence = ?").bind(fence);
        Ok(delete.execute(&mut self.connection).await?.rows_affected() > 0)
    }

    /// The number of the run's last record; none where there is no such run.
    pub(crate) async fn head(&mut self, run: &str) -> Result<Option<i64>, Failure> {
        let select = query_scalar("SELECT head FROM run WHERE run = ?").bind(run);
        Ok(select.fetch_optional(&mut self.connection).await?)
    }

    pub(crate) async fn set_closed(&mut self, run: &str) -> Result<(), Failure> {
        let upsert = "INSERT INTO run (run, head, closed) VALUES (?, 0, 1)
            ON CONFLICT (run) DO UPDATE SET closed = 1";
        query(upsert).bind(run).execute(&mut self.connection).await?;
        Ok(())
    }

    /// The run's records in order.
    pub(crate) fn records<'s>(&'s mut self, run: &'s str) -> BoxStream<'s, Result<Row, sqlx::Error>> {
        let select = query("SELECT seq, body, hash FROM record WHERE run = ? ORDER BY seq").bind(run);
        let row =
            |row: SqliteRow| Ok(Row { seq: row.try_get(0)?, body: row.try_get(1)?, hash: row.try_get(2)? });
        Box::pin(select.fetch(&mut self.connection).and_then(move |found| std::future::ready(row(found))))
    }

    pub(crate) async fn add_posted(&mut self, run: &str, topic: &str, body: &str) -> Result<(), Failure> {
        let insert = "INSERT INTO posted (run, topic, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        query(insert).bind(run).bind(topic).bind(body).execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn posted(&mut self, run: &str, topic: &str) -> Result<Option<String>, Failure> {
        let select = query_scalar("SELECT body FROM posted WHERE run = ? AND topic = ?");
        Ok(select.bind(run).bind(topic).fetch_optional(&mut self.connection).await?)
    }

    /// The runs that are not closed, by id, after `after`, with their lease if it lasts beyond `now_ms`.
    pub(crate) fn open_runs<'s>(
        &'s mut self,
        after: &'s str,
        now_ms: i64,
    ) -> BoxStream<'s, Result<Listed, sqlx::Error>> {
        let select = "SELECT run.run, head, until_ms
            FROM run LEFT JOIN lease ON lease.run = run.run AND until_ms > ?
            WHERE closed = 0 AND run.run > ? ORDER BY run.run";
        let listed = |row: SqliteRow| {
            Ok(Listed { run: row.try_get(0)?, head: row.try_get(1)?, until_ms: row.try_get(2)? })
        };
        let rows = query(select).bind(now_ms).bind(after).fetch(&mut self.connection);
        Box::pin(rows.and_then(move |row| std::future::ready(listed(row))))
    }
}

async fn layout(connection: &mut SqliteConnection) -> Result<u32, sqlx::Error> {
    let version: i64 = query_scalar("PRAGMA user_version").fetch_one(connection).await?;
    Ok(known(version))
}

/// A negative layout was never written by any version: it is treated as one that is not known.
fn known(version: i64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

/// SQLite's integers are signed. No fence and no record ever comes near the end of them.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The file's real path, after it was made where there was none.
///
/// The path is absolute, so SQLite takes neither `:memory:` nor `file:` for anything but a name, and a later change of the
/// working directory does not matter.
fn create(path: &Path) -> Result<PathBuf, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let missing = |source| OpenError::MissingDirectory { path: directory.to_owned(), source };
    let directory = directory.canonicalize().map_err(missing)?;
    let file = directory.join(path.file_name().unwrap_or_default());
    create_private(&directory, &file).map_err(|source| match source.kind() {
        io::ErrorKind::NotADirectory => OpenError::MissingDirectory { path: directory, source },
        _ => OpenError::Unwritable { path: file.clone(), source: Box::new(source) },
    })?;
    Ok(file)
}

/// SQLite would make the file with the mode that everybody may read, so it finds it made.
fn create_private(directory: &Path, file: &Path) -> io::Result<()> {
    // Closing any descriptor of a file drops all of the process's POSIX locks on it, SQLite's own among them. Within this
    // lock the file is made and closed, so nobody in this process can have it open in SQLite yet.
    static CREATION: Lock<()> = Lock::new(());
    let _creation = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(made) => drop(made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    File::open(directory)?.sync_all()
}

/// Connects, refuses what is no journal before anything is written, and makes the layout where the file is empty.
async fn prepare(path: &Path, options: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    let failed = |error| open_error(path, error);
    let mut connection = options.connect().await.map_err(failed)?;
    // Each look at the file is one transaction: it must not see half of what another process is just making.
    query("BEGIN").execute(&mut connection).await.map_err(failed)?;
    recognise(path, &mut connection).await?;
    query("COMMIT").execute(&mut connection).await.map_err(failed)?;
    let mode: String =
        query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut connection).await.map_err(failed)?;
    if mode != "wal" {
        let source =
            format!("the journal mode stays `{mode}`: no write-ahead log on this file system").into();
        return Err(OpenError::Unavailable { path: path.to_owned(), source });
    }
    // Also where there is nothing to make: it finds out whether the file can be written.
    query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
    if recognise(path, &mut connection).await? == Found::Empty {
        sqlx::raw_sql(CREATE).execute(&mut connection).await.map_err(failed)?;
    }
    query("COMMIT").execute(&mut connection).await.map_err(failed)?;
    Ok(connection)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Empty,
    Journal,
}

async fn recognise(path: &Path, connection: &mut SqliteConnection) -> Result<Found, OpenError> {
    let failed = |error| open_error(path, error);
    let found = layout(connection).await.map_err(failed)?;
    let application: i64 =
        query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 =
        query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await.map_err(failed)?;
    let refuse = |problem: String| Err(OpenError::NotAJournal { path: path.to_owned(), problem });
    match (application, found, tables) {
        (0, 0, 0) => Ok(Found::Empty),
        (APPLICATION, LAYOUT, _) => Ok(Found::Journal),
        (APPLICATION, found, _) if found > LAYOUT => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: LAYOUT })
        }
        (APPLICATION, found, _) => refuse(format!("its layout is {found}, which no version ever wrote")),
        (other, ..) => refuse(format!("it is a SQLite database with application id {other:#x}")),
    }
}

fn open_error(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match kind(&error) {
        Kind::NotADatabase => OpenError::NotAJournal { path, problem: error.to_string() },
        Kind::Corrupted => OpenError::Corrupted { path, source: Box::new(error) },
        Kind::Unwritable => OpenError::Unwritable { path, source: Box::new(error) },
        Kind::Full | Kind::Other => OpenError::Unavailable { path, source: Box::new(error) },
    }
}
