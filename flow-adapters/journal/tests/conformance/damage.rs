//! Damaged files: a torn tail is cut, all other damage is said, nothing panics.

use std::path::{Path, PathBuf};

use flow_core::journal::{JournalStore as _, RawRecord, read};
use flow_journal::{OpenError, SqliteJournal};
use tempfile::TempDir;

use super::{LONG, append, beside, closed, file, fresh, run};

const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const PAGE: usize = 4096;

/// A journal as a crash leaves it: a database file and the log beside it.
struct Crashed {
    database: Vec<u8>,
    log: Vec<u8>,
    records: Vec<RawRecord>,
    /// How long the log was when each record was acknowledged.
    acknowledged: Vec<usize>,
}

impl Crashed {
    async fn after(appends: usize) -> Self {
        let (directory, journal) = fresh().await;
        let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
        let path = file(&directory);
        let (mut records, mut acknowledged) = (Vec::new(), Vec::new());
        for _ in 0..appends {
            records = append(&journal, &lease, 1).await;
            acknowledged.push(std::fs::metadata(beside(&path, "-wal")).unwrap().len().try_into().unwrap());
        }
        let (database, log) = (std::fs::read(&path).unwrap(), std::fs::read(beside(&path, "-wal")).unwrap());
        Self { database, log, records, acknowledged }
    }

    fn restore(&self, log: &[u8]) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory);
        std::fs::write(&path, &self.database).unwrap();
        std::fs::write(beside(&path, "-wal"), log).unwrap();
        (directory, path)
    }
}

#[tokio::test]
async fn a_log_cut_anywhere_loads_exactly_what_was_acknowledged_before_the_cut() {
    let crashed = Crashed::after(12).await;
    let frames = (crashed.log.len() - WAL_HEADER) / (FRAME_HEADER + PAGE);
    assert_eq!(crashed.log.len(), WAL_HEADER + frames * (FRAME_HEADER + PAGE), "whole frames");
    let mut cuts = vec![0, WAL_HEADER / 2];
    for frame in 0..=frames {
        let start = WAL_HEADER + frame * (FRAME_HEADER + PAGE);
        cuts.extend([start, start + FRAME_HEADER / 2, start + FRAME_HEADER + PAGE / 2, start + PAGE]);
    }
    cuts.retain(|cut| *cut <= crashed.log.len());
    let mut lengths = Vec::new();
    for cut in cuts {
        let (_directory, path) = crashed.restore(&crashed.log[..cut]);
        let journal = SqliteJournal::open(&path).await.unwrap();
        let loaded = journal.load(&run()).await.unwrap();
        let expected = crashed.acknowledged.iter().filter(|length| **length <= cut).count();
        assert_eq!(loaded, crashed.records[..expected], "cut at byte {cut}");
        assert_eq!(read(&loaded).unwrap().len(), expected, "the chain of hashes holds");
        lengths.push(expected);
    }
    lengths.dedup();
    assert_eq!(lengths, (0..=12).collect::<Vec<_>>(), "every prefix was seen");
}

#[tokio::test]
async fn a_log_that_was_cut_can_be_continued() {
    let crashed = Crashed::after(4).await;
    let cut = crashed.acknowledged[2] - 1;
    let (_directory, path) = crashed.restore(&crashed.log[..cut]);
    let journal = SqliteJournal::open(&path).await.unwrap();
    // The lease was recorded before the cut, and still lasts.
    assert!(journal.acquire(&run(), &[], "second", LONG).await.is_err());
    let leases = journal.incomplete(None, 10).await.unwrap();
    assert!(leases.iter().all(|summary| summary.records == 2 && summary.leased_until.is_some()));
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_loads_a_prefix_with_an_intact_chain() {
    let crashed = Crashed::after(8).await;
    let mut shorter = 0;
    for offset in (0..crashed.log.len()).step_by(509) {
        let mut log = crashed.log.clone();
        log[offset] ^= 0x20;
        let (_directory, path) = crashed.restore(&log);
        // A log whose own header makes no sense may also be refused.
        let Ok(journal) = SqliteJournal::open(&path).await else { continue };
        let loaded = journal.load(&run()).await.unwrap();
        assert_eq!(loaded, crashed.records[..loaded.len()], "flipped at byte {offset}");
        read(&loaded).unwrap();
        shorter += usize::from(loaded.len() < crashed.records.len());
    }
    assert!(shorter > 100, "the flips hit what they were to hit: {shorter}");
}

/// What a reader gets from a database file with these bytes: the records, or what refused them.
async fn loaded(path: &Path, bytes: &[u8]) -> Result<Vec<RawRecord>, String> {
    std::fs::write(path, bytes).unwrap();
    let journal = SqliteJournal::open(path).await.map_err(|error| format!("open: {error}"))?;
    let records = journal.load(&run()).await.map_err(|error| format!("load: {error}"))?;
    read(&records).map_err(|error| format!("read: {error}"))?;
    Ok(records)
}

#[tokio::test]
async fn a_flipped_byte_in_the_database_is_found_or_changes_nothing() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let records = append(&journal, &lease, 60).await;
    journal.close(&lease).await.unwrap();
    closed(journal, &file(&directory)).await;
    let whole = std::fs::read(file(&directory)).unwrap();
    assert!(whole.len() > 10 * PAGE, "several pages of records");
    let mut found = 0;
    let (header, rest) = (0..100, (100..whole.len()).step_by(67));
    for (offset, bit) in header.chain(rest).flat_map(|offset| [(offset, 0x01), (offset, 0x80)]) {
        let mut bytes = whole.clone();
        bytes[offset] ^= bit;
        let directory = tempfile::tempdir().unwrap();
        match loaded(&file(&directory), &bytes).await {
            Ok(loaded) => assert_eq!(loaded, records, "byte {offset} with bit {bit:#x}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 400, "the flips hit what they were to hit: {found}");
}

#[tokio::test]
async fn a_record_that_is_missing_at_the_end_is_corruption() {
    use sqlx::{ConnectOptions as _, Executor as _};

    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    append(&journal, &lease, 5).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(&directory));
    let mut connection = options.connect().await.unwrap();
    connection.execute("DELETE FROM record WHERE seq = 5").await.unwrap();
    let refused = journal.load(&run()).await.unwrap_err();
    assert!(
        matches!(refused, flow_core::journal::LoadError::Corrupt { seq: 5, .. }),
        "the chain of the other four holds, and still it is noticed: {refused:?}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_database_are_refused_and_left_as_they_were() {
    // A fixed sequence that looks random: x -> 5 x + 1 modulo 251.
    let noise: Vec<u8> = std::iter::successors(Some(7_u32), |x| Some((x * 5 + 1) % 251))
        .map(|x| u8::try_from(x).unwrap())
        .take(3 * PAGE)
        .collect();
    // SQLite itself takes a file of one byte for an empty one.
    for length in [2, 15, 100, PAGE - 1, 3 * PAGE] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(file(&directory), &noise[..length]).unwrap();
        let refused = SqliteJournal::open(file(&directory)).await.unwrap_err();
        assert!(matches!(refused, OpenError::NotAJournal { .. }), "{length} bytes: {refused:?}");
        assert_eq!(std::fs::read(file(&directory)).unwrap(), noise[..length]);
    }
}

#[tokio::test]
async fn a_database_cut_in_the_middle_is_a_typed_error() {
    let (directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    append(&journal, &lease, 60).await;
    closed(journal, &file(&directory)).await;
    let whole = std::fs::read(file(&directory)).unwrap();
    for pages in 1..whole.len() / PAGE {
        let directory = tempfile::tempdir().unwrap();
        let result = loaded(&file(&directory), &whole[..pages * PAGE]).await;
        assert!(result.is_err(), "{pages} pages load {} records", result.unwrap().len());
    }
}
