//! What every [`EvidenceStore`] promises, as checks.

use async_trait::async_trait;
use flow_core::policy::Proof;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, Name, RunId, name};
use jiff::Timestamp;

use super::{Checked, Outside};
use crate::conformance::refusal::{refusal, whole};
use crate::permit;

/// Makes one `#[tokio::test]` for every promise of [`EvidenceStore`](flow_core::port::EvidenceStore).
///
/// It takes an async function without arguments that gives a fresh
/// [`EvidenceFixture`](crate::conformance::evidence::EvidenceFixture).
///
/// ```
/// use async_trait::async_trait;
/// use flow_core::port::EvidenceStore;
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::evidence::EvidenceFixture;
/// use flow_testkit::fake::MemoryEvidence;
///
/// struct InMemory(MemoryEvidence);
///
/// #[async_trait]
/// impl EvidenceFixture for InMemory {
///     fn store(&self) -> &dyn EvidenceStore {
///         &self.0
///     }
///     async fn reopened(&self) -> Outside<Box<dyn EvidenceStore>> {
///         Ok(Box::new(self.0.clone()))
///     }
///     async fn kept(&self) -> Outside<String> {
///         Ok(format!("{:?}", self.0.all()))
///     }
///     async fn damage(&self) -> Checked {
///         self.0.damage();
///         Ok(())
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     InMemory(MemoryEvidence::default())
/// }
///
/// flow_testkit::evidence_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! evidence_conformance {
    ($fresh:expr) => {
        $crate::evidence_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { evidence $with
            evidence_is_found_whole_by_each_of_its_digests
            another_process_finds_what_was_recorded
            evidence_speaks_for_its_own_application_environment_and_digest_alone
            evidence_is_found_oldest_first
            expired_evidence_is_found_as_well
            the_evidence_of_a_run_is_kept_once_and_as_it_was_first
            other_evidence_of_the_same_run_is_a_conflict
            a_run_of_another_application_or_environment_is_another_run
            evidence_that_proves_nothing_is_refused_with_all_its_problems
            what_cannot_be_read_is_an_error_and_never_an_absence
            what_was_emptied_is_an_error_and_never_an_absence
            looking_changes_nothing
        }
    };
}

/// An empty store, and ways to look at it and to disturb it from outside.
#[async_trait]
pub trait EvidenceFixture: Send + Sync {
    /// The store under test.
    fn store(&self) -> &dyn EvidenceStore;

    /// The same store as another process would open it.
    async fn reopened(&self) -> Outside<Box<dyn EvidenceStore>>;

    /// All that is kept, looked at from outside, in any form that differs where it differs.
    async fn kept(&self) -> Outside<String>;

    /// Makes what is kept unreadable: torn files, a table that is gone.
    async fn damage(&self) -> Checked;

    /// Empties what is kept and leaves it where it is: files without a byte, as a loss of power makes them, rows without content.
    /// A store that has nothing of the kind leaves this as it is: the same as [`damage`](Self::damage).
    async fn empty(&self) -> Checked {
        self.damage().await
    }
}

const SHOP: Name = name!("shop");

/// Evidence of a run in staging that ended `at` seconds after the year began, and lasts a month.
fn proof(run: &str, at: i64, contents: &[&str]) -> Outside<RunEvidence> {
    let recorded = Timestamp::from_second(1_767_225_600 + at)?;
    Ok(RunEvidence {
        application: SHOP,
        environment: Environment::Staging,
        release: name!("1.1.0"),
        digests: contents.iter().map(|content| Digest::of(content.as_bytes())).collect(),
        proved: vec![Proof::FunctionalTest],
        run: RunId::new(run)?,
        head: Digest::of(run.as_bytes()),
        recorded,
        expires: Timestamp::from_second(recorded.as_second() + 30 * 86_400)?,
    })
}

async fn find(store: &dyn EvidenceStore, content: &str) -> Outside<Vec<RunEvidence>> {
    Ok(store.find(&SHOP, Environment::Staging, &Digest::of(content.as_bytes())).await?)
}

/// What was recorded is found by every digest that it names, with all that it says.
pub async fn evidence_is_found_whole_by_each_of_its_digests(fixture: &impl EvidenceFixture) -> Checked {
    let evidence = proof("run-1", 0, &["image", "script"])?;
    fixture.store().record(&permit(), &evidence).await?;
    for content in ["image", "script"] {
        assert_eq!(find(fixture.store(), content).await?, std::slice::from_ref(&evidence));
    }
    Ok(())
}

/// What `record` has answered is durable: it needs nothing that the recording process holds.
pub async fn another_process_finds_what_was_recorded(fixture: &impl EvidenceFixture) -> Checked {
    let evidence = proof("run-1", 0, &["image"])?;
    fixture.store().record(&permit(), &evidence).await?;
    assert_eq!(find(&*fixture.reopened().await?, "image").await?, [evidence]);
    Ok(())
}

/// Evidence for another application, environment or digest is none.
pub async fn evidence_speaks_for_its_own_application_environment_and_digest_alone(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let store = fixture.store();
    store.record(&permit(), &proof("run-1", 0, &["image"])?).await?;
    let image = Digest::of(b"image");
    for environment in [Environment::Development, Environment::Testing, Environment::Production] {
        assert_eq!(store.find(&SHOP, environment, &image).await?, [], "{environment:?}");
    }
    assert_eq!(store.find(&name!("web"), Environment::Staging, &image).await?, []);
    assert_eq!(find(store, "another image").await?, []);
    Ok(())
}

/// All evidence for a digest is found, by when its run finished and then by the run's id, whatever order it was recorded in
/// and however long it lasts.
pub async fn evidence_is_found_oldest_first(fixture: &impl EvidenceFixture) -> Checked {
    let mut recorded = Vec::new();
    for (run, at, lasts) in [("run-b", 20, 60), ("run-e", 30, 40), ("run-a", 10, 90), ("run-d", 30, 70)] {
        let mut evidence = proof(run, at, &["image"])?;
        evidence.expires = Timestamp::from_second(evidence.recorded.as_second() + lasts)?;
        fixture.store().record(&permit(), &evidence).await?;
        recorded.push(evidence);
    }
    recorded.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));
    assert_eq!(find(fixture.store(), "image").await?, recorded);
    Ok(())
}

/// Whether evidence can still be relied on is for its reader to say: it is not hidden when it expires.
pub async fn expired_evidence_is_found_as_well(fixture: &impl EvidenceFixture) -> Checked {
    let ten_years = 10 * 366 * 86_400;
    let evidence = proof("run-1", -ten_years, &["image"])?;
    fixture.store().record(&permit(), &evidence).await?;
    assert_eq!(find(fixture.store(), "image").await?, [evidence]);
    Ok(())
}

/// A later attempt adds nothing, proves nothing more, and must not lengthen how long evidence can be relied on. In which
/// order it names the digests, and how often, makes no difference.
pub async fn the_evidence_of_a_run_is_kept_once_and_as_it_was_first(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let first = proof("run-1", 0, &["image", "script"])?;
    let later = proof("run-1", 5_000, &["image", "script"])?;
    let more = RunEvidence { proved: Proof::ALL.to_vec(), ..first.clone() };
    let resumed = RunEvidence { head: Digest::of(b"a later record"), ..later.clone() };
    let turned = proof("run-1", 0, &["script", "image", "script"])?;
    for evidence in [&first, &first, &later, &more, &resumed, &turned] {
        fixture.store().record(&permit(), evidence).await?;
        for content in ["image", "script"] {
            assert_eq!(find(fixture.store(), content).await?, std::slice::from_ref(&first));
        }
    }
    Ok(())
}

/// One run proves one thing: another release, or more, fewer or other digests under its name are refused.
pub async fn other_evidence_of_the_same_run_is_a_conflict(fixture: &impl EvidenceFixture) -> Checked {
    let first = proof("run-1", 0, &["image", "script"])?;
    fixture.store().record(&permit(), &first).await?;
    let before = fixture.kept().await?;
    let release = RunEvidence { release: name!("1.2.0"), ..first.clone() };
    let others: [&[&str]; 4] = [&["image"], &["script"], &["more", "script", "image"], &["other image"]];
    let others = others.into_iter().map(|digests| proof("run-1", 0, digests));
    for other in std::iter::once(Ok(release)).chain(others) {
        let other = other?;
        let error = refusal(fixture.store().record(&permit(), &other).await, "other evidence")?;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(fixture.kept().await?, before, "{other:?}");
    }
    Ok(())
}

/// A run is known by its application, its environment and its id together: a ticket's number may name one run in staging and
/// another one in production.
pub async fn a_run_of_another_application_or_environment_is_another_run(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let store = fixture.store();
    let staging = proof("run-1", 0, &["image"])?;
    let production =
        RunEvidence { environment: Environment::Production, release: name!("1.2.0"), ..staging.clone() };
    let web = RunEvidence { application: name!("web"), ..proof("run-1", 0, &["image", "script"])? };
    for _ in 0..2 {
        for evidence in [&staging, &production, &web] {
            store.record(&permit(), evidence).await?;
        }
        for evidence in [&staging, &production, &web] {
            let found =
                store.find(&evidence.application, evidence.environment, &Digest::of(b"image")).await?;
            assert_eq!(found, std::slice::from_ref(evidence));
        }
    }
    Ok(())
}

/// Evidence without a digest, or that does not end after it was recorded, is invalid under the names of those fields, with
/// both problems where it has both, and is not kept.
pub async fn evidence_that_proves_nothing_is_refused_with_all_its_problems(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let before = fixture.kept().await?;
    let ended = |evidence: RunEvidence| RunEvidence { expires: evidence.recorded, ..evidence };
    let wrong: [(RunEvidence, &[&str]); 3] = [
        (proof("run-1", 0, &[])?, &["`digests`"]),
        (ended(proof("run-1", 0, &["image"])?), &["`expires`"]),
        (ended(proof("run-1", 0, &[])?), &["`digests`", "`expires`"]),
    ];
    for (evidence, fields) in wrong {
        let error = refusal(fixture.store().record(&permit(), &evidence).await, "evidence of nothing")?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        for field in fields {
            assert!(whole(&error).contains(field), "{field} in {}", whole(&error));
        }
        assert_eq!(fixture.kept().await?, before);
    }
    Ok(())
}

/// A reader who was told of no evidence would test again, or worse, let pass; so not knowing is an error.
pub async fn what_cannot_be_read_is_an_error_and_never_an_absence(fixture: &impl EvidenceFixture) -> Checked {
    fixture.store().record(&permit(), &proof("run-1", 0, &["image"])?).await?;
    fixture.damage().await?;
    never_absent(fixture, "a look at damaged evidence").await
}

/// A file without a byte in it is no store without evidence: something stood there.
pub async fn what_was_emptied_is_an_error_and_never_an_absence(fixture: &impl EvidenceFixture) -> Checked {
    fixture.store().record(&permit(), &proof("run-1", 0, &["image"])?).await?;
    fixture.empty().await?;
    never_absent(fixture, "a look at emptied evidence").await
}

/// Neither the process that recorded it nor another one answers a `look` as if there were none.
async fn never_absent(fixture: &impl EvidenceFixture, look: &str) -> Checked {
    let reopened = fixture.reopened().await?;
    for store in [fixture.store(), &*reopened] {
        let answer = store.find(&SHOP, Environment::Staging, &Digest::of(b"image")).await;
        drop(refusal(answer, look)?);
    }
    Ok(())
}

/// Looking leaves everything as it is, also where there is nothing.
pub async fn looking_changes_nothing(fixture: &impl EvidenceFixture) -> Checked {
    let empty = fixture.kept().await?;
    find(fixture.store(), "image").await?;
    assert_eq!(fixture.kept().await?, empty);
    fixture.store().record(&permit(), &proof("run-1", 0, &["image"])?).await?;
    let kept = fixture.kept().await?;
    for _ in 0..3 {
        find(fixture.store(), "image").await?;
        assert_eq!(fixture.kept().await?, kept);
    }
    Ok(())
}
