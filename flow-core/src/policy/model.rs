use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// What an environment demands of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The environment where everything that is deployed must have been proved before, by digest.
    pub proved_in: Option<Environment>,
    /// How long what a run proved can be relied on.
    pub evidence_lasts: Duration,
    /// How many people must approve the plan, the initiator not among them.
    pub approvals: u32,
    /// Whether a backup whose restore is proved and a rollback plan may be left out.
    pub safeguards: Safeguards,
}

/// Whether backup and rollback plan may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Safeguards {
    /// They may be declared not applicable.
    Optional,
    /// They may not.
    Required,
}

impl Policy {
    /// The standard's policy: production asks for evidence from staging, one approval, a proved backup and a rollback
    /// plan; the others leave it open.
    #[must_use]
    pub const fn standard(environment: Environment) -> Self {
        let production = matches!(environment, Environment::Production);
        Self {
            proved_in: if production { Some(Environment::Staging) } else { None },
            evidence_lasts: Duration::from_hours(14 * 24),
            approvals: if production { 1 } else { 0 },
            safeguards: if production { Safeguards::Required } else { Safeguards::Optional },
        }
    }
}
