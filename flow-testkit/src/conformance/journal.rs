//! What every [`JournalStore`] promises, as checks.
//!
//! [`journal_conformance!`](crate::journal_conformance) makes a test of each: the failing test's name is the diagnosis. Time
//! here is real, since a store's clock is its own: leases that must end are short and waited for, all others are long, so
//! a slow machine makes a check slow and never wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::journal::{
    AcquireError, AppendError, Entry, JournalStore, Lease, LoadError, RawRecord, read, write,
};
use flow_core::{Clock as _, Fence, Name, RunId, SystemClock, name};
use tokio::task::JoinSet;

/// The store under test.
pub type Store = Arc<dyn JournalStore>;

type Checked = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(600);
/// For leases that are to expire.
const SHORT: Duration = Duration::from_millis(300);
/// When a condition that must come true counts as missed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one `#[tokio::test]` for every promise of [`JournalStore`](flow_core::journal::JournalStore).
///
/// It takes a function without arguments that gives the future of a guard and a fresh, empty store. The guard lives as long
/// as the test: a temporary directory, for instance, or `()`.
///
/// ```
/// use flow_core::journal::MemoryJournal;
///
/// async fn fresh() -> ((), MemoryJournal) {
///     ((), MemoryJournal::new())
/// }
///
/// flow_testkit::journal_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! journal_conformance {
    ($fresh:expr) => {
        $crate::journal_conformance! { @promises $fresh =>
            a_run_that_was_never_written_loads_empty
            records_come_back_in_order_and_exactly_as_written
            an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing
            a_batch_is_seen_whole_or_not_at_all
            runs_do_not_see_each_others_records
            a_lease_excludes_everybody_else_while_it_lasts
            the_same_owner_is_refused_as_well
            an_expired_lease_can_be_taken_and_not_before
            of_twenty_acquirers_at_once_one_wins
            a_refused_acquire_takes_none_of_its_resources
            runs_with_disjoint_resources_work_side_by_side
            the_fence_grows_with_every_acquire_of_a_run
            the_fence_grows_over_runs_that_share_a_resource
            renewing_extends_the_lease
            renewing_after_a_takeover_is_lost
            releasing_lets_others_in_at_once_and_twice_is_once
            a_late_owners_release_does_not_free_the_next_ones_lease
            a_late_owners_append_and_close_are_superseded
            an_owner_who_lost_only_a_resource_is_superseded_as_well
            a_successor_continues_where_the_last_owner_ended
            the_first_body_posted_under_a_topic_stays
            of_twenty_bodies_posted_at_once_one_stays
            incomplete_runs_are_listed_by_id_in_pages
            the_list_says_who_is_leased
            a_closed_run_is_no_longer_listed_and_still_loads
        }
    };
    (@promises $fresh:expr => $($promise:ident)+) => {
        $(
            #[tokio::test]
            async fn $promise() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
                let (_guard, store) = $crate::conformance::journal::fresh($fresh).await;
                $crate::conformance::journal::$promise(&store).await
            }
        )+
    };
}

/// Calls the constructor that [`journal_conformance!`](crate::journal_conformance) was given.
pub async fn fresh<G, J: JournalStore>(constructor: impl AsyncFnOnce() -> (G, J)) -> (G, Store) {
    let (guard, store) = constructor().await;
    (guard, Arc::new(store))
}

/// `count` records that follow `before` and hold together, for tests that need some to append.
///
/// # Errors
/// None in practice: the entries are plain text.
pub fn notes(before: &[RawRecord], fence: Fence, count: u64) -> Result<Vec<RawRecord>, serde_json::Error> {
    let mut end = before.last().map(|record| (record.seq, record.hash));
    let mut notes = Vec::new();
    for _ in 0..count {
        let seq = end.map_or(1, |(seq, _)| seq + 1);
        let note = format!("note {seq}: 'quoted', \"quoted\", \\, NUL \0, ü, 部署");
        let entry = Entry::Noted { facts: BTreeMap::from([(note, seq.into())]) };
        let record = write(end, SystemClock::new().now(), fence, &entry)?;
        end = Some((record.seq, record.hash));
        notes.push(record);
    }
    Ok(notes)
}

fn run(id: &str) -> RunId {
    RunId::new(id).unwrap_or_else(|_| RunId::generate(&SystemClock::new(), &flow_core::SystemEntropy))
}

/// Tries until the lease is free.
async fn take(store: &Store, run: &RunId, resources: &[Name], ttl: Duration) -> Result<Lease, AcquireError> {
    let began = Instant::now();
    loop {
        match store.acquire(run, resources, "successor", ttl).await {
            Err(AcquireError::Held { .. }) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            taken => return taken,
        }
    }
}

/// A lease that expires and its successor's, which does not.
async fn taken_over(store: &Store, id: &str) -> Result<(Lease, Lease), AcquireError> {
    let run = run(id);
    let late = store.acquire(&run, &[], "late", SHORT).await?;
    let current = take(store, &run, &[], LONG).await?;
    Ok((late, current))
}

/// A run that was never written loads empty.
///
/// # Errors
/// What the store refused.
pub async fn a_run_that_was_never_written_loads_empty(store: &Store) -> Checked {
    assert_eq!(store.load(&run("nobody")).await?, []);
    let lease = store.acquire(&run("leased"), &[], "owner", LONG).await?;
    assert_eq!(store.load(&lease.run).await?, [], "a lease is no record");
    Ok(())
}

/// Records come back in order and exactly as written, whatever their text and size.
///
/// # Errors
/// What the store refused.
pub async fn records_come_back_in_order_and_exactly_as_written(store: &Store) -> Checked {
    let lease = store.acquire(&run("r"), &[], "owner", LONG).await?;
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
///
/// # Errors
/// What the store refused.
pub async fn an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing(store: &Store) -> Checked {
    let lease = store.acquire(&run("r"), &[], "owner", LONG).await?;
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
///
/// # Errors
/// What the store refused.
pub async fn a_batch_is_seen_whole_or_not_at_all(store: &Store) -> Checked {
    const BATCH: u64 = 10;
    const BATCHES: u64 = 40;
    let lease = store.acquire(&run("r"), &[], "owner", LONG).await?;
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
///
/// # Errors
/// What the store refused.
pub async fn runs_do_not_see_each_others_records(store: &Store) -> Checked {
    let first = store.acquire(&run("a"), &[], "owner", LONG).await?;
    let second = store.acquire(&run("a.b"), &[], "owner", LONG).await?;
    let (one, two) = (notes(&[], first.fence, 2)?, notes(&[], second.fence, 3)?);
    store.append(&first, 0, &one).await?;
    store.append(&second, 0, &two).await?;
    assert_eq!(store.load(&first.run).await?, one);
    assert_eq!(store.load(&second.run).await?, two);
    Ok(())
}

/// While a lease lasts, its run and each of its resources are refused to others, with the name of who holds them.
///
/// # Errors
/// What the store refused.
pub async fn a_lease_excludes_everybody_else_while_it_lasts(store: &Store) -> Checked {
    let lease = store.acquire(&run("a"), &[name!("db"), name!("cdn")], "first", LONG).await?;
    assert_eq!(lease.resources, [name!("cdn"), name!("db")], "sorted");
    let attempts =
        [("a", vec![], "a"), ("b", vec![name!("db")], "db"), ("c", vec![name!("x"), name!("cdn")], "cdn")];
    for (id, resources, held) in attempts {
        let refused = store.acquire(&run(id), &resources, "second", LONG).await;
        let Err(AcquireError::Held { resource, owner, until }) = refused else {
            return Err(format!("run {id} with {resources:?} got {refused:?}").into());
        };
        assert!(resource.contains(held), "`{resource}` names `{held}`");
        assert_eq!(owner, "first");
        assert!(until > SystemClock::new().now());
    }
    Ok(())
}

/// A lease is no identity: the same owner's second acquire is refused like anybody's.
///
/// # Errors
/// What the store refused.
pub async fn the_same_owner_is_refused_as_well(store: &Store) -> Checked {
    store.acquire(&run("a"), &[], "owner", LONG).await?;
    let again = store.acquire(&run("a"), &[], "owner", LONG).await;
    assert!(matches!(again, Err(AcquireError::Held { .. })), "{again:?}");
    Ok(())
}

/// A lease that nobody renewed can be taken once it has expired, and not before.
///
/// # Errors
/// What the store refused.
pub async fn an_expired_lease_can_be_taken_and_not_before(store: &Store) -> Checked {
    let began = Instant::now();
    let late = store.acquire(&run("a"), &[name!("db")], "late", SHORT).await?;
    let next = take(store, &run("b"), &[name!("db")], LONG).await?;
    // A store may count in whole milliseconds, and the time of day may be adjusted meanwhile.
    let tolerance = Duration::from_millis(20);
    assert!(began.elapsed() + tolerance >= SHORT, "taken after {:?}", began.elapsed());
    assert!(next.fence > late.fence);
    Ok(())
}

/// Of twenty who acquire at once exactly one gets the lease.
///
/// # Errors
/// What the store refused.
pub async fn of_twenty_acquirers_at_once_one_wins(store: &Store) -> Checked {
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let store = Arc::clone(store);
        // Half of them want the run, half of them a resource of it.
        let id = if index % 2 == 0 { run("shared") } else { run(&format!("own-{index}")) };
        tasks.spawn(async move { store.acquire(&id, &[name!("db")], &index.to_string(), LONG).await });
    }
    let mut won = Vec::new();
    for acquired in tasks.join_all().await {
        match acquired {
            Ok(lease) => won.push(lease),
            Err(AcquireError::Held { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    Ok(())
}

/// An acquire that is refused for one resource takes none of the others.
///
/// # Errors
/// What the store refused.
pub async fn a_refused_acquire_takes_none_of_its_resources(store: &Store) -> Checked {
    store.acquire(&run("a"), &[name!("m")], "first", LONG).await?;
    let refused = store.acquire(&run("b"), &[name!("b"), name!("m"), name!("z")], "second", LONG).await;
    assert!(matches!(refused, Err(AcquireError::Held { .. })), "{refused:?}");
    store.acquire(&run("c"), &[name!("b"), name!("z")], "third", LONG).await?;
    store.acquire(&run("b"), &[], "fourth", LONG).await?;
    Ok(())
}

/// Runs that share no resource hold their leases and append at the same time.
///
/// # Errors
/// What the store refused.
pub async fn runs_with_disjoint_resources_work_side_by_side(store: &Store) -> Checked {
    let mut tasks = JoinSet::new();
    let leases = [
        store.acquire(&run("a"), &[name!("staging")], "one", LONG).await?,
        store.acquire(&run("b"), &[name!("production")], "two", LONG).await?,
        store.acquire(&run("c"), &[], "three", LONG).await?,
    ];
    for lease in leases {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut written = Vec::new();
            for _ in 0..20 {
                let next = notes(&written, lease.fence, 1)?;
                store.append(&lease, written.len() as u64, &next).await?;
                written.extend(next);
            }
            assert_eq!(store.load(&lease.run).await?, written);
            Checked::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// The fence of a run grows with every acquire, whether it was released or had expired.
///
/// # Errors
/// What the store refused.
pub async fn the_fence_grows_with_every_acquire_of_a_run(store: &Store) -> Checked {
    let mut latest = Fence(0);
    for _ in 0..5 {
        let lease = store.acquire(&run("a"), &[], "owner", LONG).await?;
        assert!(lease.fence > latest, "{:?} after {latest:?}", lease.fence);
        latest = lease.fence;
        store.release(&lease).await?;
    }
    let (late, current) = taken_over(store, "a").await?;
    assert!(latest < late.fence && late.fence < current.fence);
    Ok(())
}

/// The fence grows over all runs that use a resource, in whatever order they do.
///
/// # Errors
/// What the store refused.
pub async fn the_fence_grows_over_runs_that_share_a_resource(store: &Store) -> Checked {
    let mut latest = Fence(0);
    // Run `b` is acquired often on its own before, so counting per run would let `a` fall behind it.
    for (id, resources) in [
        ("b", vec![]),
        ("b", vec![]),
        ("b", vec![name!("db")]),
        ("a", vec![name!("db")]),
        ("b", vec![name!("db"), name!("cdn")]),
        ("c", vec![name!("cdn")]),
    ] {
        let lease = store.acquire(&run(id), &resources, "owner", LONG).await?;
        assert!(lease.fence > latest, "{id} with {resources:?}: {:?} after {latest:?}", lease.fence);
        latest = lease.fence;
        store.release(&lease).await?;
    }
    Ok(())
}

/// Renewing makes a lease last longer than it would have.
///
/// # Errors
/// What the store refused.
pub async fn renewing_extends_the_lease(store: &Store) -> Checked {
    let lease = store.acquire(&run("a"), &[name!("db")], "first", LONG).await?;
    let until = async || match store.acquire(&run("b"), &[name!("db")], "second", LONG).await {
        Err(AcquireError::Held { until, .. }) => Ok(until),
        other => Err(format!("{other:?} while the lease lasts")),
    };
    let (before, began) = (until().await?, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        store.renew(&lease).await?;
        if until().await? > before {
            return Ok(());
        }
        assert!(began.elapsed() < PATIENCE, "renewed for {PATIENCE:?}, and it still ends at {before}");
    }
}

/// Renewing a lease that somebody else has taken is lost, and says to which fence.
///
/// # Errors
/// What the store refused.
pub async fn renewing_after_a_takeover_is_lost(store: &Store) -> Checked {
    let (late, current) = taken_over(store, "a").await?;
    let lost = store.renew(&late).await;
    let Err(AcquireError::Lost { held, current: to }) = lost else {
        return Err(format!("{lost:?}").into());
    };
    assert_eq!((held, to), (late.fence, current.fence));
    store.renew(&current).await?;
    Ok(())
}

/// A released lease is free at once, and releasing it again is done.
///
/// # Errors
/// What the store refused.
pub async fn releasing_lets_others_in_at_once_and_twice_is_once(store: &Store) -> Checked {
    let lease = store.acquire(&run("a"), &[name!("db")], "first", LONG).await?;
    store.release(&lease).await?;
    store.release(&lease).await?;
    store.acquire(&run("a"), &[], "second", LONG).await?;
    store.acquire(&run("b"), &[name!("db")], "third", LONG).await?;
    Ok(())
}

/// Releasing a lease that was taken over does not free it from under its new owner.
///
/// # Errors
/// What the store refused.
pub async fn a_late_owners_release_does_not_free_the_next_ones_lease(store: &Store) -> Checked {
    let (late, current) = taken_over(store, "a").await?;
    store.release(&late).await?;
    let third = store.acquire(&run("a"), &[], "third", LONG).await;
    assert!(matches!(third, Err(AcquireError::Held { .. })), "{third:?}");
    store.renew(&current).await?;
    store.append(&current, 0, &notes(&[], current.fence, 1)?).await?;
    Ok(())
}

/// Who was taken over can neither append nor close, and nothing of it stands.
///
/// # Errors
/// What the store refused.
pub async fn a_late_owners_append_and_close_are_superseded(store: &Store) -> Checked {
    let run = run("a");
    let late = store.acquire(&run, &[], "late", SHORT).await?;
    let written = notes(&[], late.fence, 2)?;
    store.append(&late, 0, &written).await?;
    let current = take(store, &run, &[], LONG).await?;
    let appended = store.append(&late, 2, &notes(&written, late.fence, 1)?).await;
    assert_superseded(&appended, &late, &current)?;
    assert_superseded(&store.close(&late).await, &late, &current)?;
    assert_eq!(store.load(&run).await?, written);
    assert_eq!(store.incomplete(None, 10).await?.len(), 1, "it is not closed");
    Ok(())
}

/// Whose resource was taken, though not the run, can no longer append either: somebody else works on that resource.
///
/// # Errors
/// What the store refused.
pub async fn an_owner_who_lost_only_a_resource_is_superseded_as_well(store: &Store) -> Checked {
    let late = store.acquire(&run("a"), &[name!("cdn"), name!("db")], "late", SHORT).await?;
    let current = take(store, &run("b"), &[name!("db")], LONG).await?;
    let appended = store.append(&late, 0, &notes(&[], late.fence, 1)?).await;
    assert_superseded(&appended, &late, &current)?;
    let renewed = store.renew(&late).await;
    assert!(matches!(renewed, Err(AcquireError::Lost { .. })), "{renewed:?}");
    assert_eq!(store.load(&late.run).await?, []);
    Ok(())
}

fn assert_superseded(refused: &Result<(), AppendError>, late: &Lease, by: &Lease) -> Checked {
    let Err(AppendError::Superseded { held, current }) = refused else {
        return Err(format!("{refused:?} instead of superseded").into());
    };
    assert_eq!(*held, late.fence);
    assert!(*current > *held && *current <= by.fence, "superseded by {current:?}, not by {:?}", by.fence);
    Ok(())
}

/// Whoever takes a run over loads all of it and appends after its end.
///
/// # Errors
/// What the store refused.
pub async fn a_successor_continues_where_the_last_owner_ended(store: &Store) -> Checked {
    let first = store.acquire(&run("a"), &[], "first", LONG).await?;
    let mut written = notes(&[], first.fence, 3)?;
    store.append(&first, 0, &written).await?;
    store.release(&first).await?;
    let second = store.acquire(&run("a"), &[], "second", LONG).await?;
    let loaded = store.load(&second.run).await?;
    assert_eq!(loaded, written);
    let next = notes(&loaded, second.fence, 2)?;
    store.append(&second, 3, &next).await?;
    written.extend(next);
    assert_eq!(store.load(&second.run).await?, written);
    Ok(())
}

/// What was posted first under a topic stays; topics and runs are apart.
///
/// # Errors
/// What the store refused.
pub async fn the_first_body_posted_under_a_topic_stays(store: &Store) -> Checked {
    let (a, b) = (run("a"), run("b"));
    assert_eq!(store.posted(&a, "approval").await?, None);
    assert!(store.post(&a, "approval", "yes").await?);
    assert!(!store.post(&a, "approval", "no").await?, "the second body is not the first");
    assert!(store.post(&a, "approval", "yes").await?, "the same body again is");
    assert_eq!(store.posted(&a, "approval").await?.as_deref(), Some("yes"));
    assert_eq!(store.posted(&a, "approval/2").await?, None);
    assert_eq!(store.posted(&b, "approval").await?, None);
    assert!(store.post(&a, "approval/2", "later").await?);
    assert!(store.post(&b, "approval", "no").await?);
    assert_eq!(store.posted(&b, "approval").await?.as_deref(), Some("no"));
    Ok(())
}

/// Of twenty different bodies posted at once exactly one stays, and its sender is told so.
///
/// # Errors
/// What the store refused.
pub async fn of_twenty_bodies_posted_at_once_one_stays(store: &Store) -> Checked {
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let (store, body) = (Arc::clone(store), format!("body {index}"));
        tasks.spawn(async move { store.post(&run("a"), "topic", &body).await.map(|stays| (stays, body)) });
    }
    let mut stayed = Vec::new();
    for posted in tasks.join_all().await {
        let (stays, body) = posted?;
        stayed.extend(stays.then_some(body));
    }
    assert_eq!(stayed.len(), 1, "{stayed:?}");
    assert_eq!(store.posted(&run("a"), "topic").await?, stayed.pop());
    Ok(())
}

/// The runs that are not over are listed by id, in pages, with the number of their records.
///
/// # Errors
/// What the store refused.
pub async fn incomplete_runs_are_listed_by_id_in_pages(store: &Store) -> Checked {
    assert_eq!(store.incomplete(None, 10).await?, []);
    for (id, records) in [("c", 3), ("a", 1), ("e", 5), ("B", 2), ("d", 4)] {
        let lease = store.acquire(&run(id), &[], "owner", LONG).await?;
        store.append(&lease, 0, &notes(&[], lease.fence, records)?).await?;
    }
    let mut listed = Vec::new();
    let mut after = None;
    for expected in [2, 2, 1, 0] {
        let page = store.incomplete(after.as_ref(), 2).await?;
        assert_eq!(page.len(), expected, "after {after:?}: {page:?}");
        after = page.last().map(|summary| summary.run.clone()).or(after);
        listed.extend(page.into_iter().map(|summary| (summary.run.to_string(), summary.records)));
    }
    let expected = [("B", 2), ("a", 1), ("c", 3), ("d", 4), ("e", 5)];
    assert_eq!(listed, expected.map(|(id, records)| (id.to_owned(), records)));
    assert_eq!(store.incomplete(None, 10).await?.len(), 5);
    Ok(())
}

/// The list of runs says which of them somebody holds.
///
/// # Errors
/// What the store refused.
pub async fn the_list_says_who_is_leased(store: &Store) -> Checked {
    let held = store.acquire(&run("held"), &[name!("db")], "owner", LONG).await?;
    store.append(&held, 0, &notes(&[], held.fence, 1)?).await?;
    let released = store.acquire(&run("released"), &[], "owner", LONG).await?;
    store.append(&released, 0, &notes(&[], released.fence, 1)?).await?;
    store.release(&released).await?;
    let listed = store.incomplete(None, 10).await?;
    let leased: Vec<_> =
        listed.iter().map(|summary| (summary.run.to_string(), summary.leased_until.is_some())).collect();
    assert_eq!(leased, [("held".to_owned(), true), ("released".to_owned(), false)]);
    let now = SystemClock::new().now();
    assert!(listed.iter().filter_map(|summary| summary.leased_until).all(|until| until > now));
    Ok(())
}

/// A closed run is no longer listed; its records still load, and closing it again is done.
///
/// # Errors
/// What the store refused.
pub async fn a_closed_run_is_no_longer_listed_and_still_loads(store: &Store) -> Checked {
    let over = store.acquire(&run("over"), &[], "owner", LONG).await?;
    let open = store.acquire(&run("open"), &[], "owner", LONG).await?;
    let written = notes(&[], over.fence, 2)?;
    store.append(&over, 0, &written).await?;
    store.append(&open, 0, &notes(&[], open.fence, 1)?).await?;
    store.close(&over).await?;
    store.close(&over).await?;
    let listed: Vec<_> = store.incomplete(None, 10).await?.into_iter().map(|summary| summary.run).collect();
    assert_eq!(listed, [open.run]);
    assert_eq!(store.load(&over.run).await?, written);
    Ok(())
}
