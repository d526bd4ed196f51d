//! SQLite's journal against the promises of every journal, and against what happens to files and processes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "conformance/cancel.rs"]
mod cancel;
#[path = "conformance/damage.rs"]
mod damage;
#[path = "conformance/full.rs"]
mod full;
#[path = "conformance/full_run.rs"]
mod full_run;
#[path = "conformance/kill.rs"]
mod kill;
#[path = "conformance/open.rs"]
mod open;
#[path = "conformance/sharing.rs"]
mod sharing;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flow_core::RunId;
use flow_core::journal::{JournalStore, Lease, RawRecord};
use flow_journal::SqliteJournal;
use flow_testkit::conformance::journal::notes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

mod promises {
    use super::fresh;

    flow_testkit::journal_conformance!(fresh);
}

const LONG: Duration = Duration::from_secs(600);

async fn fresh() -> (TempDir, SqliteJournal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(file(&directory)).await.unwrap();
    (directory, journal)
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("journal.db")
}

/// The file that SQLite keeps beside the database.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn run() -> RunId {
    RunId::new("release-41").unwrap()
}

/// Appends `count` records, one commit each.
async fn append(journal: &SqliteJournal, lease: &Lease, count: u64) -> Vec<RawRecord> {
    let mut records = journal.load(&lease.run).await.unwrap();
    for _ in 0..count {
        let next = notes(&records, lease.fence, 1).unwrap();
        journal.append(lease, records.len() as u64, &next).await.unwrap();
        records.extend(next);
    }
    records
}

/// Closes the journal and brings everything into the database file: where the reading connection goes last, SQLite leaves
/// its log beside it.
async fn closed(journal: SqliteJournal, database: &Path) {
    drop(journal);
    let began = Instant::now();
    while beside(database, "-wal").exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the last connection does not close");
        let mut last = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        last.execute("SELECT count(*) FROM sqlite_schema").await.unwrap();
        last.close().await.unwrap();
    }
}
