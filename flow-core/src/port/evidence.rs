use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::policy::Proof;

/// What a finished run proved, for later runs to rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEvidence {
    /// What was deployed.
    pub application: Name,
    /// Where.
    pub environment: Environment,
    /// Which version.
    pub release: Name,
    /// The digests of everything that was deployed: artefacts and migration scripts.
    pub digests: Vec<Digest>,
    /// What the run proved of them: the tests that it made, and the rest. Records of older versions name nothing, and so
    /// prove nothing but that the digests were deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proved: Vec<Proof>,
    /// The run that proved it.
    pub run: crate::RunId,
    /// The hash of that run's last journal record.
    pub head: Digest,
    /// When the run finished.
    pub recorded: Timestamp,
    /// When the evidence can no longer be relied on.
    pub expires: Timestamp,
}

/// Keeps what finished runs proved.
#[async_trait]
pub trait EvidenceStore: Send + Sync {
    /// Keeps evidence, durably. The same run's evidence kept twice is kept once, and as it was first: a repetition must not
    /// lengthen how long it can be relied on.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with all its problems for evidence that names no digest or ends before it
    /// begins, [`Conflict`](crate::ErrorKind::Conflict) where the run recorded another release or other digests, any kind
    /// where it is not durable. What stood before stands then.
    async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError>;

    /// All evidence for `digest` of `application` in `environment`, expired or not, oldest first.
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
