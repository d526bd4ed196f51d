//! The evidence store's suite: the fake keeps its promises, and each broken store breaks the one that it is paired with.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, Name, Permit, StepError, name};
use flow_testkit::conformance::evidence::{self, EvidenceFixture};
use flow_testkit::conformance::{Checked, Outside, breaks};
use flow_testkit::fake::MemoryEvidence;
use jiff::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    KnowsTheFirstDigestAlone,
    ForgetsWithItsProcess,
    AnswersForEveryEnvironment,
    FindsTheNewestFirst,
    FindsWhatExpiresSoonestFirst,
    HidesWhatExpired,
    LetsTheLastOneStand,
    TakesAnotherOrderForOtherEvidence,
    TakesOtherEvidenceForARepetition,
    TakesFewerDigestsForARepetition,
    LooksForTheRunUnderTheNewDigestsAlone,
    KnowsARunByItsIdAlone,
    KeepsWhatProvesNothing,
    NamesTheFirstProblemAlone,
    TakesDamageForAbsence,
    TakesDamageForAbsenceOnceReopened,
    TakesNothingInAFileForAbsence,
    CountsLooks,
}

#[derive(Clone)]
struct Bench {
    store: MemoryEvidence,
    breaks: Break,
    looks: Arc<Mutex<u32>>,
    latest: Arc<Mutex<Option<RunEvidence>>>,
    emptied: Arc<Mutex<bool>>,
}

fn bench(breaks: Break) -> Bench {
    Bench {
        store: MemoryEvidence::default(),
        breaks,
        looks: Arc::default(),
        latest: Arc::default(),
        emptied: Arc::default(),
    }
}

impl Bench {
    /// Whether the broken store takes `evidence` for what it has already.
    fn passes_over(&self, evidence: &RunEvidence) -> bool {
        let named =
            |kept: &RunEvidence, digests: &[Digest]| digests.iter().all(|one| kept.digests.contains(one));
        self.store.all().iter().any(|kept| match self.breaks {
            Break::KnowsARunByItsIdAlone => kept.run == evidence.run && !kept.is_of_run_of(evidence),
            Break::TakesFewerDigestsForARepetition => {
                kept.is_of_run_of(evidence)
                    && kept.release == evidence.release
                    && named(kept, &evidence.digests)
            }
            Break::LooksForTheRunUnderTheNewDigestsAlone => {
                kept.is_of_run_of(evidence)
                    && !evidence.digests.iter().any(|digest| kept.digests.contains(digest))
            }
            _ => false,
        })
    }

    /// What the broken store refuses although it may not, or with less than it must say.
    fn refuses(&self, evidence: &RunEvidence) -> Result<(), StepError> {
        let other = |kept: &RunEvidence| kept.is_of_run_of(evidence) && kept.digests != evidence.digests;
        match self.breaks {
            Break::TakesAnotherOrderForOtherEvidence if self.store.all().iter().any(other) => {
                Err(StepError::new(ErrorKind::Conflict, "other evidence"))
            }
            Break::NamesTheFirstProblemAlone => evidence.check().map_err(|problems| {
                let first = problems.as_slice().first().map(ToString::to_string);
                StepError::new(ErrorKind::Invalid, first.unwrap_or_default())
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl EvidenceStore for Bench {
    async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
        let mut evidence = evidence.clone();
        if self.breaks == Break::KnowsTheFirstDigestAlone {
            evidence.digests.truncate(1);
        }
        if self.breaks == Break::KeepsWhatProvesNothing {
            *self.latest.lock().unwrap() = Some(evidence);
            return Ok(());
        }
        if self.passes_over(&evidence) {
            return Ok(());
        }
        self.refuses(&evidence)?;
        let recorded = self.store.record(permit, &evidence).await;
        *self.latest.lock().unwrap() = Some(evidence);
        match recorded {
            Err(error)
                if self.breaks == Break::TakesOtherEvidenceForARepetition
                    && error.kind() == ErrorKind::Conflict =>
            {
                Ok(())
            }
            recorded => recorded,
        }
    }

    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError> {
        *self.looks.lock().unwrap() += 1;
        let everywhere = self.breaks == Break::AnswersForEveryEnvironment;
        let environment = if everywhere { Environment::Staging } else { environment };
        let mut found = match self.store.find(application, environment, digest).await {
            Err(_) if self.breaks == Break::TakesDamageForAbsence => Vec::new(),
            Err(_)
                if self.breaks == Break::TakesNothingInAFileForAbsence && *self.emptied.lock().unwrap() =>
            {
                Vec::new()
            }
            found => found?,
        };
        match self.breaks {
            Break::FindsTheNewestFirst => found.reverse(),
            Break::FindsWhatExpiresSoonestFirst => found.sort_by_key(|evidence| evidence.expires),
            Break::HidesWhatExpired => found.retain(|evidence| evidence.expires > Timestamp::now()),
            Break::LetsTheLastOneStand => found = self.latest.lock().unwrap().clone().into_iter().collect(),
            _ => {}
        }
        Ok(found)
    }
}

#[async_trait]
impl EvidenceFixture for Bench {
    fn store(&self) -> &dyn EvidenceStore {
        self
    }

    async fn reopened(&self) -> Outside<Box<dyn EvidenceStore>> {
        let forgets = self.breaks == Break::ForgetsWithItsProcess;
        let mut reopened = if forgets { bench(self.breaks) } else { self.clone() };
        if self.breaks == Break::TakesDamageForAbsenceOnceReopened {
            reopened.breaks = Break::TakesDamageForAbsence;
        }
        Ok(Box::new(reopened))
    }

    async fn kept(&self) -> Outside<String> {
        let looks = if self.breaks == Break::CountsLooks { *self.looks.lock().unwrap() } else { 0 };
        Ok(format!("{looks} {:?}", self.store.all()))
    }

    async fn damage(&self) -> Checked {
        self.store.damage();
        Ok(())
    }

    async fn empty(&self) -> Checked {
        *self.emptied.lock().unwrap() = true;
        self.damage().await
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::evidence_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { evidence_conformance, evidence:
        evidence_is_found_whole_by_each_of_its_digests => async || bench(Break::KnowsTheFirstDigestAlone),
        another_process_finds_what_was_recorded => async || bench(Break::ForgetsWithItsProcess),
        evidence_speaks_for_its_own_application_environment_and_digest_alone =>
            async || bench(Break::AnswersForEveryEnvironment),
        evidence_is_found_oldest_first => async || bench(Break::FindsTheNewestFirst),
        expired_evidence_is_found_as_well => async || bench(Break::HidesWhatExpired),
        the_evidence_of_a_run_is_kept_once_and_as_it_was_first => async || bench(Break::LetsTheLastOneStand),
        other_evidence_of_the_same_run_is_a_conflict =>
            async || bench(Break::TakesOtherEvidenceForARepetition),
        a_run_of_another_application_or_environment_is_another_run =>
            async || bench(Break::KnowsARunByItsIdAlone),
        evidence_that_proves_nothing_is_refused_with_all_its_problems =>
            async || bench(Break::KeepsWhatProvesNothing),
        what_cannot_be_read_is_an_error_and_never_an_absence => async || bench(Break::TakesDamageForAbsence),
        what_was_emptied_is_an_error_and_never_an_absence =>
            async || bench(Break::TakesNothingInAFileForAbsence),
        looking_changes_nothing => async || bench(Break::CountsLooks),
    }
}

#[tokio::test]
async fn the_same_promises_are_broken_in_other_ways_as_well() -> Checked {
    let soonest = async || bench(Break::FindsWhatExpiresSoonestFirst);
    breaks(soonest, async |one| evidence::evidence_is_found_oldest_first(one).await).await?;
    let order = async || bench(Break::TakesAnotherOrderForOtherEvidence);
    breaks(order, async |one| evidence::the_evidence_of_a_run_is_kept_once_and_as_it_was_first(one).await)
        .await?;
    for way in [Break::TakesFewerDigestsForARepetition, Break::LooksForTheRunUnderTheNewDigestsAlone] {
        let bench = async || bench(way);
        breaks(bench, async |one| evidence::other_evidence_of_the_same_run_is_a_conflict(one).await).await?;
    }
    let reopened = async || bench(Break::TakesDamageForAbsenceOnceReopened);
    breaks(reopened, async |one| evidence::what_cannot_be_read_is_an_error_and_never_an_absence(one).await)
        .await?;
    let first = async || bench(Break::NamesTheFirstProblemAlone);
    breaks(first, async |one| {
        evidence::evidence_that_proves_nothing_is_refused_with_all_its_problems(one).await
    })
    .await
}

#[tokio::test]
async fn evidence_that_was_damaged_and_mended_is_found_again() {
    let store = MemoryEvidence::default();
    let (shop, image) = (name!("shop"), Digest::of(b"image"));
    let find = || store.find(&shop, Environment::Staging, &image);
    store.damage();
    assert_eq!(find().await.unwrap_err().kind(), ErrorKind::Conflict);
    store.mend();
    assert_eq!(find().await.unwrap(), []);
}
