//! A fault fires where it was put, once, and shows that it did.

use std::time::Duration;

use flow_core::journal::{JournalStore, MemoryJournal};
use flow_core::port::Vault;
use flow_core::{ErrorKind, RunId};
use flow_testkit::fake::{MemoryVault, StrictJournal};
use flow_testkit::fault::{At, Fault, Fired, Moment};
use flow_testkit::{Ledger, permit};

fn vault() -> (MemoryVault, Ledger) {
    let vault = MemoryVault::default();
    let ledger = vault.ledger().clone();
    (vault, ledger)
}

#[tokio::test]
async fn a_fault_fires_at_the_visit_it_was_put_at_and_at_no_other() {
    let (vault, ledger) = vault();
    ledger.faults().inject(At::call("vault.seal").nth(2), Fault::Refused(ErrorKind::Throttled));
    let mut kinds = Vec::new();
    for content in [b"a", b"b", b"c"] {
        kinds.push(vault.seal(&permit(), content).await.err().map(|error| error.kind()));
    }
    assert_eq!(kinds, [None, Some(ErrorKind::Throttled), None]);
    let fired: Vec<Fired> = ledger.faults().fired();
    assert_eq!(fired.len(), 1);
    assert_eq!(
        (fired[0].point.as_str(), fired[0].fault),
        ("vault.seal", Fault::Refused(ErrorKind::Throttled))
    );
    assert_eq!(ledger.changes().len(), 2, "what was refused is no change");
}

#[tokio::test]
async fn a_fault_that_never_fired_says_so() {
    let (vault, ledger) = vault();
    ledger.faults().inject(At::call("vault.seal").nth(2), Fault::Hung);
    vault.seal(&permit(), b"once").await.unwrap();
    let unfired: Vec<String> = ledger.faults().unfired().iter().map(ToString::to_string).collect();
    assert_eq!(unfired, ["call 2 of `vault.seal`"]);
}

#[tokio::test]
async fn what_a_call_cannot_do_stays_unfired() {
    let (vault, ledger) = vault();
    let sealed = vault.seal(&permit(), b"once").await.unwrap();
    ledger.faults().inject(At::call("vault.open").onwards(), Fault::Repeated);
    assert_eq!(vault.open(&sealed).await.unwrap(), b"once");
    assert_eq!(ledger.faults().unfired(), [At::call("vault.open").onwards()]);
    let journal = StrictJournal::over(MemoryJournal::new());
    journal.ledger().faults().inject(At::call("journal.load").onwards(), Fault::Repeated);
    assert_eq!(journal.load(&RunId::new("one").unwrap()).await.unwrap(), []);
    assert_eq!(journal.ledger().faults().fired(), []);
    assert_eq!(journal.ledger().faults().unfired().len(), 1);
}

#[tokio::test]
async fn an_answer_in_doubt_leaves_the_effect_standing() {
    let (vault, ledger) = vault();
    ledger.faults().inject(At::call("vault.seal"), Fault::InDoubt);
    let error = vault.seal(&permit(), b"secret").await.unwrap_err();
    assert!(!error.kind().is_rejection());
    let sealed = vault.seal(&permit(), b"secret").await.unwrap();
    assert_eq!(vault.open(&sealed).await.unwrap(), b"secret");
}

#[tokio::test]
async fn a_crash_ends_the_process_where_it_was_put() {
    for (moment, stands) in [(Moment::Before, false), (Moment::Inside, true), (Moment::After, true)] {
        let (vault, ledger) = vault();
        ledger.faults().inject(At::call("vault.seal"), Fault::Crash(moment));
        let mut reached = false;
        let ended = ledger
            .faults()
            .survive(async {
                let _ = vault.seal(&permit(), b"x").await;
                reached = true;
            })
            .await;
        assert!(ended.is_none() && !reached, "nothing of the process runs after its death");
        let sealed = flow_core::port::Sealed { digest: flow_core::Digest::of(b"x") };
        assert_eq!(vault.open(&sealed).await.is_ok(), stands, "{moment:?}");
        assert_eq!(ledger.calls()[0].ended, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_in_virtual_time_and_a_hang_never_ends() {
    let (vault, ledger) = vault();
    let begun = tokio::time::Instant::now();
    ledger.faults().inject(At::call("vault.seal"), Fault::Delayed(Duration::from_secs(90)));
    vault.seal(&permit(), b"late").await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(90));
    ledger.faults().inject(At::call("vault.seal"), Fault::Hung);
    let given_up = tokio::time::timeout(Duration::from_secs(3600), vault.seal(&permit(), b"never")).await;
    assert!(given_up.is_err());
    assert_eq!(ledger.changes().len(), 1);
}
