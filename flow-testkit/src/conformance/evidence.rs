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
            evidence_that_proves_nothing_is_refused_with_all_its_problems
            what_cannot_be_read_is_an_error_and_never_an_absence
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

/// All evidence for a digest is found, by when its run finished, whatever order it was recorded in.
pub async fn evidence_is_found_oldest_first(fixture: &impl EvidenceFixture) -> Checked {
    let mut recorded = Vec::new();
    for (run, at) in [("run-b", 20), ("run-c", 30), ("run-a", 10)] {
        let evidence = proof(run, at, &["image"])?;
        fixture.store().record(&permit(), &evidence).await?;
        recorded.push(evidence);
    }
    recorded.sort_by_key(|evidence| evidence.recorded);
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

/// A later attempt adds nothing, and must not lengthen how long evidence can be relied on.
pub async fn the_evidence_of_a_run_is_kept_once_and_as_it_was_first(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let first = proof("run-1", 0, &["image"])?;
    let later = proof("run-1", 5_000, &["image"])?;
    for evidence in [&first, &first, &later] {
        fixture.store().record(&permit(), evidence).await?;
        assert_eq!(find(fixture.store(), "image").await?, std::slice::from_ref(&first));
    }
    Ok(())
}

/// One run proves one thing: another release or other digests under its name are refused.
pub async fn other_evidence_of_the_same_run_is_a_conflict(fixture: &impl EvidenceFixture) -> Checked {
    let first = proof("run-1", 0, &["image"])?;
    fixture.store().record(&permit(), &first).await?;
    let before = fixture.kept().await?;
    let release = RunEvidence { release: name!("1.2.0"), ..first.clone() };
    let digests = proof("run-1", 0, &["image", "script"])?;
    for other in [release, digests] {
        let error = refusal(fixture.store().record(&permit(), &other).await, "other evidence")?;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(fixture.kept().await?, before);
    }
    Ok(())
}

/// Evidence without a digest, or that ends before it begins, is invalid with both problems, and is not kept.
pub async fn evidence_that_proves_nothing_is_refused_with_all_its_problems(
    fixture: &impl EvidenceFixture,
) -> Checked {
    let before = fixture.kept().await?;
    let mut evidence = proof("run-1", 0, &[])?;
    evidence.expires = evidence.recorded;
    let error = refusal(fixture.store().record(&permit(), &evidence).await, "evidence of nothing")?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for field in ["`digests`", "`expires`"] {
        assert!(whole(&error).contains(field), "{field} in {}", whole(&error));
    }
    assert_eq!(fixture.kept().await?, before);
    Ok(())
}

/// A reader who was told of no evidence would test again, or worse, let pass; so not knowing is an error.
pub async fn what_cannot_be_read_is_an_error_and_never_an_absence(fixture: &impl EvidenceFixture) -> Checked {
    fixture.store().record(&permit(), &proof("run-1", 0, &["image"])?).await?;
    fixture.damage().await?;
    let answer = fixture.store().find(&SHOP, Environment::Staging, &Digest::of(b"image")).await;
    drop(refusal(answer, "a look at damaged evidence")?);
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
