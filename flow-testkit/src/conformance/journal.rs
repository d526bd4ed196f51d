//! What every [`JournalStore`] promises, as checks.
//!
//! [`journal_conformance!`](crate::journal_conformance) makes a test of each: the failing test's name is the diagnosis. Time
//! here is real, since a store's clock is its own: leases that must end are short and waited for, all others are long, so
//! a slow machine makes a check slow and never wrong.

pub mod fences;
pub mod leases;
pub mod listing;
pub mod mailbox;
pub mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flow_core::journal::{AcquireError, Entry, JournalStore, Lease, RawRecord, write};
use flow_core::{Clock as _, Fence, InvalidName, Name, RunId, SystemClock};

use crate::conformance::patience::Patience;
use crate::conformance::{Fresh, Outside};

/// The store under test.
pub type Store = Arc<dyn JournalStore>;

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(600);
/// For leases that are to expire.
const SHORT: Duration = Duration::from_millis(300);

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
        $crate::journal_conformance! { @each __promises (|| $crate::conformance::journal::fresh($fresh)) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { journal $with
            records:
                a_run_that_was_never_written_loads_empty
                records_come_back_in_order_and_exactly_as_written
                an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing
                a_batch_is_seen_whole_or_not_at_all
                runs_do_not_see_each_others_records;
            leases:
                a_lease_excludes_everybody_else_while_it_lasts
                the_same_owner_is_refused_as_well
                an_expired_lease_can_be_taken_and_not_before
                of_twenty_acquirers_at_once_one_wins
                a_refused_acquire_takes_none_of_its_resources
                runs_with_disjoint_resources_work_side_by_side
                renewing_extends_the_lease
                releasing_lets_others_in_at_once_and_twice_is_once;
            fences:
                the_fence_grows_with_every_acquire_of_a_run
                the_fence_grows_over_runs_that_share_a_resource
                renewing_after_a_takeover_is_lost
                a_late_owners_release_does_not_free_the_next_ones_lease
                a_lease_that_was_given_back_can_be_neither_renewed_nor_written_under
                a_late_owners_append_and_close_are_superseded
                an_owner_who_lost_only_a_resource_is_superseded_as_well
                a_successor_continues_where_the_last_owner_ended;
            mailbox:
                the_first_body_posted_under_a_topic_stays
                of_twenty_bodies_posted_at_once_one_stays;
            listing:
                incomplete_runs_are_listed_by_id_in_pages
                the_list_says_who_is_leased
                a_closed_run_is_no_longer_listed_and_still_loads;
        }
    };
}

/// Calls the constructor that [`journal_conformance!`](crate::journal_conformance) was given.
pub async fn fresh<G, J: JournalStore>(constructor: impl AsyncFnOnce() -> (G, J)) -> Fresh<Store, G> {
    let (guard, store) = constructor().await;
    Fresh::new(Arc::new(store), guard)
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

fn run(id: &str) -> Result<RunId, InvalidName> {
    RunId::new(id)
}

/// Tries until the lease is free.
async fn take(store: &Store, run: &RunId, resources: &[Name]) -> Outside<Lease> {
    let patience = Patience::until("the lease is free");
    loop {
        match store.acquire(run, resources, "successor", LONG).await {
            Err(AcquireError::Held { .. }) => patience.wait().await?,
            taken => return Ok(taken?),
        }
    }
}
