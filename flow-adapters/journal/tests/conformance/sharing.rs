//! Several journals on one file, as several processes have them.

use std::time::{Duration, Instant};

use flow_core::journal::{AcquireError, AppendError, JournalStore, Lease, read};
use flow_core::{RunId, name};
use flow_journal::SqliteJournal;
use flow_testkit::conformance::journal::notes;

use super::{LONG, append, file, fresh, run};

async fn take(journal: &SqliteJournal, run: &RunId) -> Lease {
    let began = Instant::now();
    loop {
        match journal.acquire(run, &[name!("db")], "successor", LONG).await {
            Ok(lease) => return lease,
            Err(AcquireError::Held { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other}"),
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the lease does not expire");
    }
}

#[tokio::test]
async fn a_late_owner_in_another_process_is_superseded() {
    let (directory, first) = fresh().await;
    let second = SqliteJournal::open(file(&directory)).await.unwrap();
    let late = first.acquire(&run(), &[name!("db")], "first", Duration::from_millis(200)).await.unwrap();
    let mut records = append(&first, &late, 3).await;

    // `first` stands still past its time, as a frozen process does.
    let lease = take(&second, &run()).await;
    assert_eq!(second.load(&run()).await.unwrap(), records);
    let next = notes(&records, lease.fence, 1).unwrap();
    second.append(&lease, 3, &next).await.unwrap();
    records.extend(next);

    for expected in [3, 4] {
        let batch = notes(&records[..expected], late.fence, 1).unwrap();
        let refused = first.append(&late, expected as u64, &batch).await;
        assert!(
            matches!(refused, Err(AppendError::Superseded { held, current })
                if held == late.fence && current == lease.fence),
            "{refused:?}"
        );
    }
    assert!(matches!(first.renew(&late).await, Err(AcquireError::Lost { .. })));
    first.release(&late).await.unwrap();
    assert_eq!(first.load(&run()).await.unwrap(), records);
    append(&second, &lease, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_acquirers_in_five_processes_one_wins_each_round() {
    let (directory, first) = fresh().await;
    let mut journals = vec![first];
    for _ in 1..5 {
        journals.push(SqliteJournal::open(file(&directory)).await.unwrap());
    }
    let mut latest = None;
    for round in 0..10 {
        let acquiring: Vec<_> = journals
            .iter()
            .cloned()
            .map(|journal| tokio::spawn(async move { journal.acquire(&run(), &[], "owner", LONG).await }))
            .collect();
        let mut won = Vec::new();
        for acquired in acquiring {
            match acquired.await.unwrap() {
                Ok(lease) => won.push(lease),
                Err(AcquireError::Held { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        assert!(latest < Some(won[0].fence));
        latest = Some(won[0].fence);
        journals[round % 5].release(&won[0]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_lease_used_by_four_processes_at_once_writes_every_number_once() {
    let (directory, first) = fresh().await;
    let lease = first.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let mut writing = Vec::new();
    for _ in 0..4 {
        let (journal, lease) = (SqliteJournal::open(file(&directory)).await.unwrap(), lease.clone());
        writing.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while acknowledged.len() < 15 {
                let records = journal.load(&lease.run).await.unwrap();
                let next = notes(&records, lease.fence, 1).unwrap();
                match journal.append(&lease, records.len() as u64, &next).await {
                    Ok(()) => acknowledged.extend(next),
                    Err(AppendError::SeqConflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            acknowledged
        }));
    }
    let mut acknowledged = Vec::new();
    for written in writing {
        acknowledged.extend(written.await.unwrap());
    }
    acknowledged.sort_by_key(|record| record.seq);
    let loaded = first.load(&run()).await.unwrap();
    assert_eq!(loaded, acknowledged);
    assert_eq!(read(&loaded).unwrap().len(), 60);
}
