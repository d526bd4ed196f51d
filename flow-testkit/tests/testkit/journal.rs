//! The suite for journal stores: passed by the memory store, and broken promise by promise.

mod strict;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::journal::{
    AcquireError, AppendError, JournalStore, Lease, LoadError, MemoryJournal, RawRecord, RunSummary,
};
use flow_core::{Fence, Name, RunId, name};

async fn fresh() -> ((), MemoryJournal) {
    ((), MemoryJournal::new())
}

flow_testkit::journal_conformance!(fresh);

/// How a store breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    LoadsNothingAsDamage,
    LoadsBackwards,
    AppendsAnywhere,
    SplitsBatches,
    OneJournalForAll,
    GivesToEverybody,
    GivesTwiceToOne,
    EndsLeasesEarly,
    KeepsHalfOfARefusal,
    OneRunAtATime,
    RenewsNothing,
    KeepsWhatWasReleased,
    OneFence,
    FencePerRun,
    RevivesTheLost,
    ReleasesWhoever,
    LetsLateOwnersWrite,
    LosesTheLast,
    BelievesEverySender,
    IgnoresTheLimit,
    HidesLeases,
    ListsClosed,
}

#[derive(Debug)]
struct Broken {
    store: MemoryJournal,
    breaks: Break,
    /// The leases that were really given, by run.
    given: Arc<Mutex<BTreeMap<RunId, Vec<Lease>>>>,
}

impl Broken {
    fn is(&self, breaks: Break) -> bool {
        self.breaks == breaks
    }

    /// The lease that the store knows under the fence that was made up for it.
    fn real(&self, lease: &Lease) -> Lease {
        let given = self.given.lock().unwrap();
        let leases = given.get(&lease.run).map(Vec::as_slice).unwrap_or_default();
        let real = match self.breaks {
            Break::FencePerRun => usize::try_from(lease.fence.0).ok().and_then(|nth| leases.get(nth - 1)),
            Break::ReleasesWhoever => leases.last(),
            _ => None,
        };
        real.unwrap_or(lease).clone()
    }
}

#[async_trait]
impl JournalStore for Broken {
    async fn acquire(
        &self,
        run: &RunId,
        resources: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        let mut on = resources.to_vec();
        on.extend(self.is(Break::OneRunAtATime).then(|| name!("everything")));
        let ttl = if self.is(Break::EndsLeasesEarly) { ttl / 1000 } else { ttl };
        match self.store.acquire(run, &on, owner, ttl).await {
            Ok(mut lease) => {
                let mut given = self.given.lock().unwrap();
                let leases = given.entry(run.clone()).or_default();
                leases.push(lease.clone());
                match self.breaks {
                    Break::OneFence => lease.fence = Fence(1),
                    Break::FencePerRun => lease.fence = Fence(leases.len() as u64),
                    _ => {}
                }
                Ok(lease)
            }
            Err(AcquireError::Held { owner: holder, resource, until }) => {
                let again = self.is(Break::GivesTwiceToOne) && holder == owner;
                if again || self.is(Break::GivesToEverybody) {
                    let (run, resources, owner) = (run.clone(), resources.to_vec(), owner.to_owned());
                    return Ok(Lease { run, resources, owner, fence: Fence(99), ttl });
                }
                if self.is(Break::KeepsHalfOfARefusal) {
                    for resource in resources {
                        let half = RunId::new(format!("half-{resource}")).unwrap();
                        drop(self.store.acquire(&half, std::slice::from_ref(resource), owner, ttl).await);
                    }
                }
                Err(AcquireError::Held { owner: holder, resource, until })
            }
            Err(other) => Err(other),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        match self.store.renew(lease).await {
            Err(AcquireError::Lost { .. }) if self.is(Break::RevivesTheLost) => Ok(()),
            Ok(()) if self.is(Break::RenewsNothing) => {
                Err(AcquireError::Lost { held: lease.fence, current: lease.fence })
            }
            renewed => renewed,
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        if self.is(Break::KeepsWhatWasReleased) {
            Ok(())
        } else {
            self.store.release(&self.real(lease)).await
        }
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        let of = if self.is(Break::OneJournalForAll) { RunId::new("a").unwrap() } else { run.clone() };
        let mut records = self.store.load(&of).await?;
        match self.breaks {
            Break::LoadsNothingAsDamage if records.is_empty() => {
                let problem = "there is nothing".to_owned();
                return Err(LoadError::Corrupt { run: of, seq: 1, problem });
            }
            Break::LoadsBackwards => records.reverse(),
            Break::LosesTheLast => drop(records.pop()),
            _ => {}
        }
        Ok(records)
    }

    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        if self.is(Break::SplitsBatches) {
            for (record, before) in batch.iter().zip(expected..) {
                self.store.append(lease, before, std::slice::from_ref(record)).await?;
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        match self.store.append(lease, expected, batch).await {
            Err(AppendError::SeqConflict { .. }) if self.is(Break::AppendsAnywhere) => Ok(()),
            Err(AppendError::Superseded { .. }) if self.is(Break::LetsLateOwnersWrite) => Ok(()),
            appended => appended,
        }
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        if self.is(Break::ListsClosed) { Ok(()) } else { self.store.close(lease).await }
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        Ok(self.store.post(run, topic, body).await? || self.is(Break::BelievesEverySender))
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        self.store.posted(run, topic).await
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        let limit = if self.is(Break::IgnoresTheLimit) { u32::MAX } else { limit };
        let mut runs = self.store.incomplete(after, limit).await?;
        if self.is(Break::HidesLeases) {
            runs.iter_mut().for_each(|run| run.leased_until = None);
        }
        Ok(runs)
    }
}

mod broken {
    use super::*;

    async fn store(breaks: Break) -> ((), Broken) {
        ((), Broken { store: MemoryJournal::new(), breaks, given: Arc::default() })
    }

    macro_rules! by {
        ($break:ident) => {
            async || flow_testkit::conformance::journal::fresh(async || store(Break::$break).await).await
        };
    }

    flow_testkit::broken_implementations! { journal_conformance, journal:
        records::a_run_that_was_never_written_loads_empty => by!(LoadsNothingAsDamage),
        records::records_come_back_in_order_and_exactly_as_written => by!(LoadsBackwards),
        records::an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing => by!(AppendsAnywhere),
        records::a_batch_is_seen_whole_or_not_at_all => by!(SplitsBatches),
        records::runs_do_not_see_each_others_records => by!(OneJournalForAll),
        leases::a_lease_excludes_everybody_else_while_it_lasts => by!(GivesToEverybody),
        leases::the_same_owner_is_refused_as_well => by!(GivesTwiceToOne),
        leases::an_expired_lease_can_be_taken_and_not_before => by!(EndsLeasesEarly),
        leases::of_twenty_acquirers_at_once_one_wins => by!(GivesToEverybody),
        leases::a_refused_acquire_takes_none_of_its_resources => by!(KeepsHalfOfARefusal),
        leases::runs_with_disjoint_resources_work_side_by_side => by!(OneRunAtATime),
        leases::renewing_extends_the_lease => by!(RenewsNothing),
        leases::releasing_lets_others_in_at_once_and_twice_is_once => by!(KeepsWhatWasReleased),
        fences::the_fence_grows_with_every_acquire_of_a_run => by!(OneFence),
        fences::the_fence_grows_over_runs_that_share_a_resource => by!(FencePerRun),
        fences::renewing_after_a_takeover_is_lost => by!(RevivesTheLost),
        fences::a_late_owners_release_does_not_free_the_next_ones_lease => by!(ReleasesWhoever),
        fences::a_lease_that_was_given_back_can_be_neither_renewed_nor_written_under => by!(RevivesTheLost),
        fences::a_late_owners_append_and_close_are_superseded => by!(LetsLateOwnersWrite),
        fences::an_owner_who_lost_only_a_resource_is_superseded_as_well => by!(LetsLateOwnersWrite),
        fences::a_successor_continues_where_the_last_owner_ended => by!(LosesTheLast),
        mailbox::the_first_body_posted_under_a_topic_stays => by!(BelievesEverySender),
        mailbox::of_twenty_bodies_posted_at_once_one_stays => by!(BelievesEverySender),
        listing::incomplete_runs_are_listed_by_id_in_pages => by!(IgnoresTheLimit),
        listing::the_list_says_who_is_leased => by!(HidesLeases),
        listing::a_closed_run_is_no_longer_listed_and_still_loads => by!(ListsClosed),
    }
}
