//! What the strict journal refuses that a store lets pass.

use std::time::Duration;

use flow_core::journal::{AcquireError, AppendError, JournalStore as _, MemoryJournal};
use flow_core::{Digest, ErrorKind, RunId, name};
use flow_testkit::conformance::journal::notes;
use flow_testkit::fake::StrictJournal;
use flow_testkit::fault::{At, Fault};

const LONG: Duration = Duration::from_secs(600);

fn journal() -> StrictJournal {
    StrictJournal::over(MemoryJournal::new())
}

fn run() -> RunId {
    RunId::new("a").unwrap()
}

#[tokio::test]
async fn what_is_done_under_a_lease_that_was_given_back_is_refused_and_noted() {
    let journal = journal();
    let lease = journal.acquire(&run(), &[name!("db")], "owner", LONG).await.unwrap();
    journal.append(&lease, 0, &notes(&[], lease.fence, 1).unwrap()).await.unwrap();
    journal.release(&lease).await.unwrap();
    assert_eq!(journal.ledger().refusals(), [""; 0]);
    assert!(matches!(journal.release(&lease).await, Err(AcquireError::Unavailable(_))));
    assert!(matches!(journal.renew(&lease).await, Err(AcquireError::Unavailable(_))));
    let late = notes(&journal.load(&run()).await.unwrap(), lease.fence, 1).unwrap();
    assert!(matches!(journal.append(&lease, 1, &late).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(journal.close(&lease).await, Err(AppendError::Unavailable(_))));
    let refusals = journal.ledger().refusals();
    let expected = ["is released", "is renewed", "is written", "is closed"];
    assert!(refusals.iter().zip(expected).all(|(refusal, what)| refusal.contains(what)), "{refusals:?}");
    assert_eq!(refusals.len(), 4);
    assert_eq!(journal.load(&run()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_that_does_not_follow_is_refused_and_leaves_nothing() {
    let journal = journal();
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    let written = notes(&[], lease.fence, 2).unwrap();
    journal.append(&lease, 0, &written).await.unwrap();
    let next = notes(&written, lease.fence, 2).unwrap();
    let mut forged = next.clone();
    forged[1].hash = Digest::of(b"forged");
    let gap = [next[1].clone()];
    for (batch, why) in [
        (&[][..], "an empty batch"),
        (&gap[..], "record 4 in the place of 3"),
        (&forged[..], "record 4 whose hash"),
    ] {
        assert!(journal.append(&lease, 2, batch).await.is_err());
        let refusals = journal.ledger().refusals();
        assert!(refusals.last().unwrap().contains(why), "{refusals:?}");
    }
    // A caller that only expects another end is told so by the store itself, as the contract says.
    let stale = journal.append(&lease, 0, &written).await;
    assert!(matches!(stale, Err(AppendError::SeqConflict { expected: 0, found: 2 })), "{stale:?}");
    assert_eq!(journal.load(&run()).await.unwrap(), written);
    journal.append(&lease, 2, &next).await.unwrap();
}

#[tokio::test]
async fn an_append_without_an_answer_stands() {
    let journal = journal();
    let lease = journal.acquire(&run(), &[], "owner", LONG).await.unwrap();
    journal.ledger().faults().inject(At::call("journal.append"), Fault::Refused(ErrorKind::Unavailable));
    journal.ledger().faults().inject(At::call("journal.append").nth(2), Fault::InDoubt);
    let written = notes(&[], lease.fence, 1).unwrap();
    for (stands, _) in [(0, "refused"), (1, "in doubt")] {
        assert!(matches!(journal.append(&lease, 0, &written).await, Err(AppendError::Unavailable(_))));
        assert_eq!(journal.load(&run()).await.unwrap().len(), stands);
    }
    assert_eq!(journal.ledger().faults().unfired(), []);
}
