//! A store without room, and one that another process keeps busy.

use std::time::Duration;

use flow_core::journal::{AppendError, JournalStore as _, read};
use flow_journal::{SqliteConfig, SqliteJournal};
use flow_testkit::conformance::journal::notes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::{LONG, append, file, fresh, run};

#[tokio::test]
async fn a_full_store_takes_nothing_of_the_batch_and_can_still_be_read_and_released() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig { max_bytes: Some(1 << 17), ..SqliteConfig::at(file(&directory)) };
    let journal = SqliteJournal::with(config).await.unwrap();
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let mut records = Vec::new();
    let full = loop {
        let batch = notes(&records, lease.fence, 20).unwrap();
        match journal.append(&lease, records.len() as u64, &batch).await {
            Ok(()) => records.extend(batch),
            Err(error) => break error,
        }
        assert!(records.len() < 10_000, "the limit has no effect");
    };
    assert!(matches!(full, AppendError::Full(_)), "{full:?}");
    assert!(records.len() > 20, "there was room before");

    // Twice: the limit also holds on the connection that takes the failed one's place.
    for _ in 0..2 {
        assert_eq!(journal.load(&run()).await.unwrap(), records);
        let batch = notes(&records, lease.fence, 200).unwrap();
        let again = journal.append(&lease, records.len() as u64, &batch).await;
        assert!(matches!(again, Err(AppendError::Full(_))), "{again:?}");
    }
    read(&journal.load(&run()).await.unwrap()).unwrap();
    journal.renew(&lease).await.unwrap();
    journal.release(&lease).await.unwrap();

    let roomier = SqliteJournal::open(file(&directory)).await.unwrap();
    let next = roomier.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let continued = append(&roomier, &next, 30).await;
    assert_eq!(continued.len(), records.len() + 30);
    read(&continued).unwrap();
}

#[tokio::test]
async fn reading_does_not_wait_for_whoever_writes() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let records = append(&journal, &lease, 3).await;
    let mut writer = SqliteConnectOptions::new().filename(file(&directory)).connect().await.unwrap();
    writer.execute("BEGIN IMMEDIATE").await.unwrap();

    let next = notes(&records, lease.fence, 1).unwrap();
    let waiting = {
        let (journal, lease, next) = (journal.clone(), lease.clone(), next.clone());
        tokio::spawn(async move { journal.append(&lease, 3, &next).await })
    };
    assert_eq!(journal.load(&run()).await.unwrap(), records);
    assert_eq!(journal.posted(&run(), "approval").await.unwrap(), None);
    assert_eq!(journal.incomplete(None, 10).await.unwrap().len(), 1);
    assert!(!waiting.is_finished(), "the other process still writes");

    writer.execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(journal.load(&run()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_store_that_stays_busy_is_unavailable_and_usable_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        SqliteConfig { busy_timeout: Duration::from_millis(20), ..SqliteConfig::at(file(&directory)) };
    let journal = SqliteJournal::with(config).await.unwrap();
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let mut writer = SqliteConnectOptions::new().filename(file(&directory)).connect().await.unwrap();
    writer.execute("BEGIN IMMEDIATE").await.unwrap();

    let batch = notes(&[], lease.fence, 2).unwrap();
    let refused = journal.append(&lease, 0, &batch).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    writer.execute("ROLLBACK").await.unwrap();
    assert_eq!(journal.load(&run()).await.unwrap(), []);
    journal.append(&lease, 0, &batch).await.unwrap();
    assert_eq!(journal.load(&run()).await.unwrap(), batch);
}
