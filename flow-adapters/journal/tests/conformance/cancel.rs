//! Callers that go away in the middle.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use flow_core::journal::{AppendError, JournalStore as _, read};
use flow_testkit::conformance::journal::notes;

use super::{LONG, append, fresh, run};

/// Drives `future` through so many polls and drops it where it is not done by then.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn an_append_dropped_at_any_await_stands_whole_or_not_at_all_and_blocks_nobody() {
    let (_directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let (mut dropped, mut finished) = (0, 0);
    for polls in (0..40).cycle().take(240) {
        let records = journal.load(&run()).await.unwrap();
        let batch = notes(&records, lease.fence, 3).unwrap();
        match dropped_after(polls, journal.append(&lease, records.len() as u64, &batch)).await {
            None => dropped += 1,
            Some(Ok(())) => finished += 1,
            // The append dropped before this one was already past the point of no return when the records were loaded.
            Some(Err(AppendError::SeqConflict { .. })) => continue,
            Some(Err(other)) => panic!("after {polls} polls: {other}"),
        }
        let loaded = journal.load(&run()).await.unwrap();
        assert_eq!(loaded.len() % 3, 0, "a part of a batch stands");
        read(&loaded).unwrap();
    }
    assert!(dropped > 4 && finished > 4, "{dropped} dropped, {finished} finished");
    journal.renew(&lease).await.unwrap();
}

#[tokio::test]
async fn a_load_dropped_at_any_await_leaves_the_journal_readable() {
    let (_directory, journal) = fresh().await;
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let records = append(&journal, &lease, 3).await;
    let mut dropped = 0;
    // How many polls a load takes depends on how fast the connection's thread answers.
    for polls in (0..20).cycle().take(200) {
        match dropped_after(polls, journal.load(&run())).await {
            None => dropped += 1,
            Some(loaded) => assert_eq!(loaded.unwrap(), records),
        }
        assert_eq!(journal.load(&run()).await.unwrap(), records);
    }
    assert!(dropped >= 10, "{dropped} dropped");
}
