//! Opening: what is made, what is refused, and what is there again.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use flow_core::journal::{AcquireError, AppendError, JournalStore as _, LoadError};
use flow_core::{RunId, name};
use flow_journal::{OpenError, SqliteConfig, SqliteJournal};
use flow_testkit::conformance::journal::notes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::{LONG, append, beside, closed, file, fresh, run};

async fn execute(database: &std::path::Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute(sql).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

#[tokio::test]
async fn what_was_appended_leased_and_posted_is_there_after_reopening() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[name!("db")], "first", LONG).await.unwrap();
    let records = append(&journal, &lease, 5).await;
    journal.post(&run(), "approval", "yes").await.unwrap();
    closed(journal, &file(&directory)).await;

    let journal = SqliteJournal::open(file(&directory)).await.unwrap();
    assert_eq!(journal.load(&run()).await.unwrap(), records);
    assert_eq!(journal.posted(&run(), "approval").await.unwrap().as_deref(), Some("yes"));
    assert!(journal.acquire(&run(), &[], "second", LONG).await.is_err(), "the lease still lasts");
    append(&journal, &lease, 1).await;
    journal.release(&lease).await.unwrap();
    closed(journal, &file(&directory)).await;

    let journal = SqliteJournal::open(file(&directory)).await.unwrap();
    let next = journal.acquire(&run(), &[], "second", LONG).await.unwrap();
    assert!(next.fence > lease.fence, "the fence outlives the lease and the process");
}

#[tokio::test]
async fn a_released_lease_is_gone_even_while_nobody_took_it() {
    let (_directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let records = append(&journal, &lease, 1).await;
    journal.release(&lease).await.unwrap();
    assert!(journal.renew(&lease).await.is_err(), "a late heartbeat must not bring it back");
    let next = notes(&records, lease.fence, 1).unwrap();
    let appended = journal.append(&lease, 1, &next).await;
    assert!(
        matches!(appended, Err(AppendError::Superseded { held, current }) if current > held),
        "{appended:?}"
    );
}

#[tokio::test]
async fn a_batch_with_a_hole_is_refused_whole() {
    let (_directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let mut batch = notes(&[], lease.fence, 3).unwrap();
    batch.remove(1);
    let refused = journal.append(&lease, 0, &batch).await;
    assert!(matches!(refused, Err(AppendError::SeqConflict { .. })), "{refused:?}");
    assert_eq!(journal.load(&run()).await.unwrap(), []);
}

#[tokio::test]
async fn an_acquire_that_is_refused_at_its_last_key_takes_nothing_away() {
    let (_directory, journal) = fresh().await;
    let over = journal.acquire(&run(), &[name!("a")], "late", Duration::ZERO).await.unwrap();
    let holder = RunId::new("holder").unwrap();
    journal.acquire(&holder, &[name!("b")], "holder", LONG).await.unwrap();
    let third = RunId::new("third").unwrap();
    let refused = journal.acquire(&third, &[name!("a"), name!("b")], "third", LONG).await;
    assert!(matches!(refused, Err(AcquireError::Held { .. })), "{refused:?}");
    // The lease on the first key was over and free to take, but nobody has taken it.
    append(&journal, &over, 1).await;
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    append(&journal, &lease, 1).await;
    for suffix in ["", "-wal", "-shm"] {
        let path = beside(&file(&directory), suffix);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn sixteen_who_open_a_missing_file_at_once_all_get_the_same_journal() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let opening: Vec<_> = (0..16).map(|_| tokio::spawn(SqliteJournal::open(file(&directory)))).collect();
        let mut journals = Vec::new();
        for opened in opening {
            journals.push(opened.await.unwrap().unwrap());
        }
        let lease = journals[0].acquire(&run(), &[], "owner", LONG).await.unwrap();
        let records = append(&journals[0], &lease, 1).await;
        for journal in &journals {
            assert_eq!(journal.load(&run()).await.unwrap(), records);
        }
    }
}

#[tokio::test]
async fn a_missing_directory_is_named_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    let refused = SqliteJournal::open(absent.join("journal.db")).await.unwrap_err();
    assert!(matches!(&refused, OpenError::MissingDirectory { path, .. } if *path == absent), "{refused:?}");
    assert_eq!(refused.to_string(), format!("the directory `{}` is missing", absent.display()));
    assert!(!absent.exists());
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "text").unwrap();
    let refused = SqliteJournal::open(plain.join("journal.db")).await.unwrap_err();
    assert!(matches!(&refused, OpenError::MissingDirectory { path, .. } if *path == plain), "{refused:?}");
}

#[tokio::test]
async fn a_directory_in_place_of_the_file_is_not_writable() {
    let directory = tempfile::tempdir().unwrap();
    let refused = SqliteJournal::open(directory.path()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unwritable { .. }), "{refused:?}");
}

/// The process may be root, whom no mode of a file or directory stops: the kernel's own file system does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_takes_no_files_is_unwritable() {
    let refused = SqliteJournal::open("/proc/self/fd/journal.db").await.unwrap_err();
    assert!(matches!(&refused, OpenError::Unwritable { .. }), "{refused:?}");
}

#[tokio::test]
async fn wrong_values_are_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig { max_bytes: Some(1), ..SqliteConfig::at(file(&directory)) };
    let refused = SqliteJournal::with(config).await.unwrap_err();
    assert!(matches!(refused, OpenError::Invalid(_)), "{refused:?}");
    assert!(!file(&directory).exists());
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    execute(&path, "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('eve')").await;
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteJournal::open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotAJournal { .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_later_layout_is_refused_and_left_as_it_was() {
    let (directory, journal) = fresh().await;
    let path = file(&directory);
    closed(journal, &path).await;
    execute(&path, "PRAGMA user_version = 2").await;
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteJournal::open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_journal_that_gets_a_later_layout_while_it_is_open_is_no_longer_touched() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let records = append(&journal, &lease, 2).await;
    execute(&file(&directory), "PRAGMA user_version = 2").await;

    let loaded = journal.load(&run()).await;
    assert!(matches!(loaded, Err(LoadError::Newer { found: 2, known: 1 })), "{loaded:?}");
    let next = notes(&records, lease.fence, 1).unwrap();
    let appended = journal.append(&lease, 2, &next).await;
    assert!(matches!(appended, Err(AppendError::Unavailable(_))), "{appended:?}");

    execute(&file(&directory), "PRAGMA user_version = 1").await;
    assert_eq!(journal.load(&run()).await.unwrap(), records, "nothing of it stands");
}
