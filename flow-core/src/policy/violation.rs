use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::environment::Environment;
use crate::name::Digest;
use crate::plan::{Coverage, Plan};
use crate::policy::Safeguards;
use crate::port::RunEvidence;
use crate::setting::Setting;
use crate::stage::{Activity, ActivityName, MigrateActivity, PrepareActivity};

/// How a plan breaks its environment's policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A production plan names what it deploys.
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
    /// Something that the environment insists on was left out.
    #[error("{activity} cannot be left out in {environment}")]
    SafeguardLeftOut {
        /// What.
        activity: ActivityName,
        /// Where.
        environment: Environment,
    },
}

/// Everything in which `plan` breaks the policy of `setting`, at once.
pub(crate) async fn check(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let mut violations = safeguards(setting, plan);
    let Some(environment) = setting.policy.proved_in else { return violations };
    if setting.artifacts.is_empty() {
        violations.push(Violation::ArtifactsNotNamed { environment: setting.environment });
    }
    let Some(store) = &setting.evidence else {
        violations.push(Violation::NoEvidenceStore);
        return violations;
    };
    for digest in deployed(plan) {
        match store.find(&setting.application, environment, &digest).await {
            Ok(found) => violations.extend(judge(digest, environment, &found, setting.clock.now())),
            Err(error) => {
                let problem = crate::Cause::from(&error).to_string();
                violations.push(Violation::EvidenceUnreadable { digest, problem });
            }
        }
    }
    violations
}

/// Everything that a plan says it deploys.
pub(crate) fn deployed(plan: &Plan) -> BTreeSet<Digest> {
    plan.items().flat_map(|(_, item)| &item.preview.deploys).chain(&plan.artifacts).copied().collect()
}

fn judge(
    digest: Digest,
    environment: Environment,
    found: &[RunEvidence],
    now: Timestamp,
) -> Option<Violation> {
    match found.iter().map(|evidence| evidence.expires).max() {
        None => Some(Violation::NotProved { digest, environment }),
        Some(expired) if expired <= now => Some(Violation::ProofExpired { digest, environment, expired }),
        Some(_) => None,
    }
}

fn safeguards(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    if setting.policy.safeguards == Safeguards::Optional {
        return Vec::new();
    }
    let insisted = [MigrateActivity::Backup.name(), PrepareActivity::RollbackPlan.name()];
    let left_out = plan
        .rows()
        .into_iter()
        .filter(|row| insisted.contains(&row.activity) && matches!(row.coverage, Coverage::NotApplicable(_)));
    let environment = setting.environment;
    left_out.map(|row| Violation::SafeguardLeftOut { activity: row.activity, environment }).collect()
}
