use std::fmt;

use jiff::Timestamp;

use crate::RunId;
use crate::environment::Environment;
use crate::gate::StandardGate;
use crate::name::{Digest, Name};
use crate::policy::{Border, Proof};
use crate::stage::ActivityName;

/// How a plan or a run breaks its environment's policy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The policy demands less than the standard does.
    #[error("`policy.{field}`: {problem}: the standard's demand on {environment}")]
    LaxerThanStandard {
        /// The policy's field.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
        /// Where.
        environment: Environment,
    },
    /// A plan under this policy names what it deploys.
    #[error("`artifacts`: a plan for {environment} names the digests that it deploys")]
    ArtifactsNotNamed {
        /// Where.
        environment: Environment,
    },
    /// Nothing shows that this was ever tested.
    #[error("{digest} was never proved in {environment}")]
    NotProved {
        /// What.
        digest: Digest,
        /// Where it must have been.
        environment: Environment,
    },
    /// It was deployed there, but one of the tests was left out.
    #[error("{digest} had no {missing} in {environment}, in run `{run}`")]
    TestsIncomplete {
        /// What.
        digest: Digest,
        /// Where it was deployed.
        environment: Environment,
        /// The run that left the test out.
        run: RunId,
        /// The test.
        missing: Proof,
    },
    /// A script would run here for the first time.
    #[error("the script {digest} never ran below {environment}")]
    ScriptNotRun {
        /// The script.
        digest: Digest,
        /// Where it would run.
        environment: Environment,
    },
    /// What was proved is too old.
    #[error("the proof of {digest} in {environment} expired at {expired}")]
    ProofExpired {
        /// What.
        digest: Digest,
        /// Where it was proved.
        environment: Environment,
        /// When the latest proof expired.
        expired: Timestamp,
    },
    /// There is nothing that evidence could be read from.
    #[error("the policy asks for evidence, but the setting has no evidence store")]
    NoEvidenceStore,
    /// The evidence could not be read: that is not the same as none, and no pass either.
    #[error("the evidence for {digest} cannot be read: {problem}")]
    EvidenceUnreadable {
        /// What.
        digest: Digest,
        /// Why not.
        problem: String,
    },
    /// What the store gave as evidence is of something else.
    #[error("the evidence of run `{run}` does not fit {digest}: it is {found}")]
    EvidenceForeign {
        /// What was asked for.
        digest: Digest,
        /// The run that recorded it.
        run: RunId,
        /// What it is of: another application, another environment, another digest, a time to come.
        found: String,
    },
    /// Something that the environment insists on was left out.
    #[error("{activity} cannot be left out in {environment}")]
    SafeguardLeftOut {
        /// What.
        activity: ActivityName,
        /// Where.
        environment: Environment,
    },
    /// No step of the plan will prove it in time.
    #[error("no step proves {proof} {border}, as {environment} demands")]
    NothingProves {
        /// What must be proved.
        proof: Proof,
        /// By when.
        border: Border,
        /// Where.
        environment: Environment,
    },
    /// A migration would be applied to something of which no backup is proved before.
    #[error("`{step}` applies a migration to {resource}, and no step before it proves a backup of that")]
    Unprotected {
        /// The step.
        step: Name,
        /// What it changes.
        resource: Name,
    },
    /// A step cannot prove what it says where it stands: what it proves must come before a change, or after it.
    #[error("`{step}` cannot prove {proof} where it stands in {environment}: {}", out_of_turn(*proof))]
    ProvedOutOfTurn {
        /// The step.
        step: Name,
        /// What it is to prove.
        proof: Proof,
        /// Where.
        environment: Environment,
    },
    /// A step was to prove something and did not.
    #[error("`{step}` did not prove {proof}, which is due {border} in {environment}")]
    Unproved {
        /// The step.
        step: Name,
        /// What it was to prove.
        proof: Proof,
        /// By when.
        border: Border,
        /// Where.
        environment: Environment,
    },
    /// A figure that is demanded is not measured: no evidence is never a pass.
    #[error("{gate}: nothing measures it, as {environment} demands")]
    NotMeasured {
        /// The figure.
        gate: StandardGate,
        /// Where.
        environment: Environment,
    },
    /// A measured figure does not hold.
    #[error("{gate}: `{step}` measured {}, the limit is {limit} {}", Measured(*gate, *value), gate.unit())]
    GateBroken {
        /// The figure.
        gate: StandardGate,
        /// Who measured it.
        step: Name,
        /// What was measured, in the gate's unit; none where it was no number.
        value: Option<f64>,
        /// The limit under this policy, which itself no longer holds.
        limit: f64,
    },
}

const fn out_of_turn(proof: Proof) -> &'static str {
    match proof {
        Proof::MigrationVerified => "a migration may be applied only after it looked",
        _ => "a migration that does not name what it changes may be applied before it is done",
    }
}

struct Measured(StandardGate, Option<f64>);

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(value) => write!(f, "{value} {}", self.0.unit()),
            None => f.write_str("no number"),
        }
    }
}

impl Violation {
    /// What kind of violation it is, as a stable word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LaxerThanStandard { .. } => "laxer_than_standard",
            Self::ArtifactsNotNamed { .. } => "artifacts_not_named",
            Self::NotProved { .. } => "not_proved",
            Self::TestsIncomplete { .. } => "tests_incomplete",
            Self::ScriptNotRun { .. } => "script_not_run",
            Self::ProofExpired { .. } => "proof_expired",
            Self::NoEvidenceStore => "no_evidence_store",
            Self::EvidenceUnreadable { .. } => "evidence_unreadable",
            Self::EvidenceForeign { .. } => "evidence_foreign",
            Self::SafeguardLeftOut { .. } => "safeguard_left_out",
            Self::NothingProves { .. } => "nothing_proves",
            Self::Unprotected { .. } => "unprotected",
            Self::ProvedOutOfTurn { .. } => "proved_out_of_turn",
            Self::Unproved { .. } => "unproved",
            Self::NotMeasured { .. } => "not_measured",
            Self::GateBroken { .. } => "gate_broken",
        }
    }
}

/// Everything in which a run breaks its policy at one border.
///
/// It is final for this run. A border judges the receipts that are recorded, and a finished step does not run again: a retry of a
/// held run finds the same. The way on is to roll back, mend the step that proved too little, and begin another run.
#[derive(Debug, Clone, PartialEq)]
pub struct Violations {
    /// Where.
    pub border: Border,
    /// All of them, never none.
    pub all: Vec<Violation>,
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.border.broken())?;
        self.all.iter().try_for_each(|violation| write!(f, "; {violation}"))
    }
}

impl std::error::Error for Violations {}
