use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Problems, StepError};
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::policy::Proof;

/// What a finished run proved, for later runs to rely on.
///
/// Its serde form may be stored: every later version reads what an earlier one wrote. New fields come as optional ones; an
/// earlier version refuses them, since it cannot know what they say.
///
/// ```
/// use flow_core::policy::Proof;
/// use flow_core::port::RunEvidence;
/// use flow_core::{Digest, Environment, RunId, Timestamp, name};
///
/// let recorded: Timestamp = "2026-11-25T12:00:00Z".parse()?;
/// let evidence = RunEvidence {
///     application: name!("shop"),
///     environment: Environment::Staging,
///     release: name!("1.4.0"),
///     digests: vec![Digest::of(b"the image"), Digest::of(b"a migration script")],
///     proved: vec![Proof::FunctionalTest, Proof::PerformanceTest],
///     run: RunId::new("run-1")?,
///     head: Digest::of(b"the run's last journal record"),
///     recorded,
///     expires: "2026-12-25T12:00:00Z".parse()?,
/// };
/// evidence.check()?;
///
/// let stored = serde_json::to_string(&evidence)?;
/// assert_eq!(serde_json::from_str::<RunEvidence>(&stored)?, evidence);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEvidence {
    /// What was deployed.
    pub application: Name,
    /// Where.
    pub environment: Environment,
    /// Which version.
    pub release: Name,
    /// The digests of everything that was deployed: artefacts and migration scripts. A set: order and repetition say nothing.
    pub digests: Vec<Digest>,
    /// What the run proved of them: the tests that it made, and the rest. Records of older versions name nothing, and so
    /// prove nothing but that the digests were deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proved: Vec<Proof>,
    /// The run that proved it. Known by its application and environment together with this id, which alone may return.
    pub run: crate::RunId,
    /// The hash of that run's last journal record. A run that is taken up once more records a later one.
    pub head: Digest,
    /// When the run finished.
    pub recorded: Timestamp,
    /// When the evidence can no longer be relied on.
    pub expires: Timestamp,
}

impl RunEvidence {
    /// Checks that it is evidence of something. Every store does so before it keeps it.
    ///
    /// # Errors
    /// All its problems: under `digests` where it names none, under `expires` where it does not end after it was recorded.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(!self.digests.is_empty(), "digests", "must name at least one, or nothing is proved");
        problems.check(self.recorded < self.expires, "expires", "must be later than `recorded`");
        problems.into_result()
    }

    /// Whether both are of one run: the same application, environment and run id.
    #[must_use]
    pub fn is_of_run_of(&self, other: &Self) -> bool {
        (&self.application, self.environment, &self.run)
            == (&other.application, other.environment, &other.run)
    }

    /// Whether both name the same release and the same set of digests, whatever was proved of them and for how long.
    #[must_use]
    pub fn deploys_the_same_as(&self, other: &Self) -> bool {
        let set = |evidence: &Self| evidence.digests.iter().copied().collect::<BTreeSet<_>>();
        self.release == other.release && set(self) == set(other)
    }
}

/// Keeps what finished runs proved.
///
/// One store serves the runs of many journals, at once and from several processes. Fences of two journals cannot be compared,
/// so a store keeps at most one for each run, and need not: what a run recorded first stands against a late owner as well.
///
/// Evidence is never removed and never changed. A store whose place is made with the first evidence, such as a directory or a
/// table, may answer that there is none where the whole place is missing: that costs a new test and lets nothing pass. Whatever is
/// there and cannot be read whole is an error: a torn file, a line cut off at the end, a table of another form. It is passed over
/// only where the store can tell that its `record` was never answered.
///
/// | situation | kind |
/// |---|---|
/// | evidence that does not [check](RunEvidence::check) | [`Invalid`](crate::ErrorKind::Invalid) |
/// | the run recorded another release or other digests | [`Conflict`](crate::ErrorKind::Conflict) |
/// | what is kept is damaged, or is of a form that this version does not know | [`Conflict`](crate::ErrorKind::Conflict) |
/// | the store is not reached, its disk is full, another process holds it; nothing was written | [`Unavailable`](crate::ErrorKind::Unavailable) |
/// | an error of the disk or the connection while it was written | [`StepError::in_doubt`] |
#[async_trait]
pub trait EvidenceStore: Send + Sync {
    /// Keeps evidence, durably: once it has answered, no loss of power takes it away.
    ///
    /// Evidence [of the same run](RunEvidence::is_of_run_of) is kept once, and as it was first: a repetition is answered with
    /// `Ok`, whatever it says in `proved`, `head`, `recorded` and `expires`, and must not lengthen how long the evidence can be
    /// relied on. What an attempt in doubt may only have written, the repetition makes durable before it answers.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with all its problems, under `digests` where it names none and under `expires` where
    /// it does not end after it was recorded ([`RunEvidence::check`]); [`Conflict`](crate::ErrorKind::Conflict) where the run
    /// recorded [another release or another set of digests](RunEvidence::deploys_the_same_as); any kind where it is not
    /// durable. What stood before stands then.
    async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError>;

    /// All evidence for `digest` of `application` in `environment`, expired or not, oldest first: by `recorded`, and by the run's
    /// id where that is the same.
    ///
    /// # Errors
    /// Any kind where it cannot be read: that is not the same as no evidence.
    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError>;
}
