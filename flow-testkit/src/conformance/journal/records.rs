//! What is appended and loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::journal::{AppendError, Entry, LoadError, read, write};
use flow_core::{Clock as _, SystemClock};

use super::{LONG, Store, notes, run};
use crate::conformance::Checked;
use crate::conformance::patience::PATIENCE;

/// A run that was never written loads empty.
pub async fn a_run_that_was_never_written_loads_empty(store: &Store) -> Checked {
    assert_eq!(store.load(&run("nobody")?).await?, []);
    let lease = store.acquire(&run("leased")?, &[], "owner", LONG).await?;
    assert_eq!(store.load(&lease.run).await?, [], "a lease is no record");
    Ok(())
}

/// Records come back in order and exactly as written, whatever their text and size.
pub async fn records_come_back_in_order_and_exactly_as_written(store: &Store) -> Checked {
    let lease = store.acquire(&run("r")?, &[], "owner", LONG).await?;
    let mut written = Vec::new();
    for size in [1, 7, 1, 40] {
        let batch = notes(&written, lease.fence, size)?;
        store.append(&lease, written.len() as u64, &batch).await?;
        written.extend(batch);
    }
    let large = Entry::Noted { facts: BTreeMap::from([("large".to_owned(), "x".repeat(1 << 20).into())]) };
    let end = written.last().map(|record| (record.seq, record.hash));
    let large = write(end, SystemClock::new().now(), lease.fence, &large)?;
    store.append(&lease, written.len() as u64, std::slice::from_ref(&large)).await?;
    written.push(large);
    let loaded = store.load(&lease.run).await?;
    assert_eq!(loaded, written);
    assert_eq!(read(&loaded)?.len(), 50, "the chain of hashes holds");
    Ok(())
}

/// An append that expects another end of the journal is refused, and nothing of it stands.
pub async fn an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing(store: &Store) -> Checked {
    let lease = store.acquire(&run("r")?, &[], "owner", LONG).await?;
    let written = notes(&[], lease.fence, 3)?;
    store.append(&lease, 0, &written).await?;
    for expected in [0, 2, 4] {
        let batch = notes(written.get(..expected).unwrap_or(&written), lease.fence, 2)?;
        let expected = expected as u64;
        let refused = store.append(&lease, expected, &batch).await;
        assert!(
            matches!(refused, Err(AppendError::SeqConflict { expected: said, found: 3 }) if said == expected),
            "expecting {expected}: {refused:?}"
        );
        assert_eq!(store.load(&lease.run).await?, written, "after expecting {expected}");
    }
    store.append(&lease, 3, &notes(&written, lease.fence, 1)?).await?;
    Ok(())
}

/// A reader sees all of a batch or none of it.
pub async fn a_batch_is_seen_whole_or_not_at_all(store: &Store) -> Checked {
    const BATCH: u64 = 10;
    const BATCHES: u64 = 40;
    let lease = store.acquire(&run("r")?, &[], "owner", LONG).await?;
    let (reader, id) = (Arc::clone(store), lease.run.clone());
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while seen < BATCH * BATCHES {
            let now = reader.load(&id).await?.len() as u64;
            assert_eq!(now % BATCH, 0, "{now} records are no whole number of batches");
            assert!(now >= seen, "{seen} records were seen before {now}");
            seen = now;
            tokio::task::yield_now().await;
        }
        Ok::<_, LoadError>(())
    });
    let mut written = Vec::new();
    for _ in 0..BATCHES {
        let batch = notes(&written, lease.fence, BATCH)?;
        store.append(&lease, written.len() as u64, &batch).await?;
        written.extend(batch);
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(PATIENCE, reading).await???;
    Ok(())
}

/// Runs do not see each other's records.
pub async fn runs_do_not_see_each_others_records(store: &Store) -> Checked {
    let first = store.acquire(&run("a")?, &[], "owner", LONG).await?;
    let second = store.acquire(&run("a.b")?, &[], "owner", LONG).await?;
    let (one, two) = (notes(&[], first.fence, 2)?, notes(&[], second.fence, 3)?);
    store.append(&first, 0, &one).await?;
    store.append(&second, 0, &two).await?;
    assert_eq!(store.load(&first.run).await?, one);
    assert_eq!(store.load(&second.run).await?, two);
    Ok(())
}
