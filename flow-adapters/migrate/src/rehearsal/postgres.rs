//! What PostgreSQL holds, rewrites and reads for one statement
//! (<https://www.postgresql.org/docs/current/view-pg-locks.html>).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_core::{Clock as _, StepError, SystemClock};
use flow_sql::LockMode;

use super::course::Probe;
use super::report::Rehearsed;
use crate::engine::Session;

/// Tables and views with their files. Our looking locks only the system's own.
const RELATIONS: &str = "SELECT c.oid, CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END, c.relfilenode
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// Rows read by sequential scans in this transaction; builds of indexes and checks of constraints count too.
const SCANNED_INSIDE: &str =
    "SELECT relid, seq_tup_read FROM pg_catalog.pg_stat_xact_user_tables WHERE seq_tup_read > 0";
const SCANNED: &str = "SELECT relid, seq_tup_read FROM pg_catalog.pg_stat_user_tables WHERE seq_tup_read > 0";

/// How often locks are looked at while a statement outside transactions runs.
const PAUSE: Duration = Duration::from_millis(2);

const MODES: [(&str, LockMode); 8] = [
    ("AccessShareLock", LockMode::AccessShare),
    ("RowShareLock", LockMode::RowShare),
    ("RowExclusiveLock", LockMode::RowExclusive),
    ("ShareUpdateExclusiveLock", LockMode::ShareUpdateExclusive),
    ("ShareLock", LockMode::Share),
    ("ShareRowExclusiveLock", LockMode::ShareRowExclusive),
    ("ExclusiveLock", LockMode::Exclusive),
    ("AccessExclusiveLock", LockMode::AccessExclusive),
];

pub(super) struct PostgresProbe {
    /// Looks while the other session is busy.
    watcher: Box<dyn Session>,
    /// The relations that stood there before the script, by their ids.
    relations: Relations,
}

/// By their ids: the names and the files of relations.
type Relations = BTreeMap<String, (String, String)>;
type Numbers = BTreeMap<String, u64>;

impl PostgresProbe {
    pub(super) fn new(watcher: Box<dyn Session>) -> Self {
        Self { watcher, relations: BTreeMap::new() }
    }

    /// Those that stood there before the script and have another file than in `before`.
    async fn rewritten(
        &mut self,
        session: &mut dyn Session,
        before: &Relations,
    ) -> Result<BTreeSet<String>, StepError> {
        let now = relations(session).await?;
        let changed = |(id, (name, _)): (&String, &(String, String))| {
            let file = |relations: &Relations| relations.get(id).map(|(_, file)| file.clone());
            let (old, new) = (file(before)?, file(&now)?);
            (old != new).then(|| name.clone())
        };
        Ok(self.relations.iter().filter_map(changed).collect())
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    async fn begin(&mut self, session: &mut dyn Session) -> Result<(), StepError> {
        self.relations = relations(session).await?;
        Ok(())
    }

    async fn inside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError> {
        let pid = pid(session);
        let files = relations(session).await?;
        let held = locks(&self.relations, session, &pid).await?;
        let read = numbers(session, SCANNED_INSIDE).await?;
        let started = Instant::now();
        session.execute(statement).await?;
        let took = started.elapsed();
        let now = locks(&self.relations, session, &pid).await?;
        let locks = strongest(now.difference(&held).cloned());
        let scans = named(&self.relations, more(&read, numbers(session, SCANNED_INSIDE).await?));
        Ok(Rehearsed {
            locks,
            held: now,
            rewrites: self.rewritten(session, &files).await?,
            scans,
            took,
            ..Rehearsed::default()
        })
    }

    async fn outside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError> {
        let pid = pid(session);
        let files = relations(session).await?;
        flush(session).await;
        let read = numbers(session, SCANNED).await?;
        let started = Instant::now();
        let (relations, watcher) = (&self.relations, self.watcher.as_mut());
        let mut seen = BTreeSet::new();
        let watching = async {
            loop {
                match locks(relations, watcher, &pid).await {
                    Ok(now) => seen.extend(now),
                    Err(error) => return error,
                }
                SystemClock::new().sleep(PAUSE).await;
            }
        };
        let ended = tokio::select! {
            ended = session.execute(statement) => ended,
            error = watching => Err(error),
        };
        ended?;
        let took = started.elapsed();
        flush(session).await;
        let scans = named(&self.relations, more(&read, numbers(session, SCANNED).await?));
        Ok(Rehearsed {
            locks: strongest(seen),
            rewrites: self.rewritten(session, &files).await?,
            scans,
            took,
            ..Rehearsed::default()
        })
    }
}

fn named(relations: &Relations, found: Numbers) -> Numbers {
    let name = |(id, value): (String, u64)| Some((relations.get(&id)?.0.clone(), value));
    found.into_iter().filter_map(name).collect()
}

/// The backend's process.
fn pid(session: &dyn Session) -> String {
    session.id().split(' ').next().unwrap_or_default().to_owned()
}

/// Hands the session's counters over at once; servers before 15 do so by themselves.
async fn flush(session: &mut dyn Session) {
    let _ = session.query("SELECT pg_catalog.pg_stat_force_next_flush()", &[]).await;
    let _ = session.query("SELECT pg_catalog.pg_stat_clear_snapshot()", &[]).await;
}

async fn relations(session: &mut dyn Session) -> Result<Relations, StepError> {
    let rows = session.query(RELATIONS, &[]).await?;
    let relation = |row: Vec<Option<String>>| {
        let [id, name, file] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some((id?, (name?, file?)))
    };
    Ok(rows.into_iter().filter_map(relation).collect())
}

/// The locks of the backend `pid` on relations that stood there before. Each mode is a lock of its own.
async fn locks(
    relations: &Relations,
    session: &mut dyn Session,
    pid: &str,
) -> Result<BTreeSet<(String, LockMode)>, StepError> {
    // The id is the server's own number.
    let held = format!(
        "SELECT relation, mode FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND granted AND pid = {pid}
         AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    );
    let lock = |row: Vec<Option<String>>| {
        let [id, mode] = <[Option<String>; 2]>::try_from(row).ok()?;
        let mode = mode?;
        let (_, mode) = MODES.iter().find(|(name, _)| *name == mode)?;
        Some((relations.get(&id?)?.0.clone(), *mode))
    };
    Ok(session.query(&held, &[]).await?.into_iter().filter_map(lock).collect())
}

/// The strongest lock on each relation.
fn strongest(locks: impl IntoIterator<Item = (String, LockMode)>) -> BTreeMap<String, LockMode> {
    let mut strongest = BTreeMap::new();
    for (relation, mode) in locks {
        let held = strongest.entry(relation).or_insert(mode);
        *held = (*held).max(mode);
    }
    strongest
}

async fn numbers(session: &mut dyn Session, query: &str) -> Result<Numbers, StepError> {
    let number = |row: Vec<Option<String>>| {
        let [id, number] = <[Option<String>; 2]>::try_from(row).ok()?;
        Some((id?, number?.parse().ok()?))
    };
    Ok(session.query(query, &[]).await?.into_iter().filter_map(number).collect())
}

/// By how much the numbers grew.
fn more(before: &Numbers, after: Numbers) -> Numbers {
    let grown = |(id, number): (String, u64)| {
        let grown = number.saturating_sub(before.get(&id).copied().unwrap_or_default());
        (grown > 0).then_some((id, grown))
    };
    after.into_iter().filter_map(grown).collect()
}
