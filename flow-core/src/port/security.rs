use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StepError;
use crate::name::Name;
use crate::policy::Proof;

/// What a security check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityAspect {
    /// How things are set up: encryption, firewall, open ports, audit.
    Configuration,
    /// Who may do what: file modes, accounts, tokens and their scopes.
    Permissions,
}

impl SecurityAspect {
    /// What a check of this aspect proves.
    #[must_use]
    pub const fn proof(self) -> Proof {
        match self {
            Self::Configuration => Proof::SecurityConfiguration,
            Self::Permissions => Proof::Permissions,
        }
    }
}

/// One thing that a security check looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityFinding {
    /// What was looked at. Never a secret.
    pub what: String,
    /// How it must be.
    pub expected: String,
    /// How it is.
    pub found: String,
    /// Whether that is as it must be.
    pub holds: bool,
}

/// Looks at one aspect of an environment's security, and changes nothing.
///
/// ```
/// use flow_core::port::{SecurityAspect, SecurityCheck, SecurityFinding};
/// use flow_core::prelude::*;
///
/// /// The deployer must be no administrator.
/// struct Account { name: String }
///
/// #[async_trait]
/// impl SecurityCheck for Account {
///     fn name(&self) -> Name {
///         name!("account")
///     }
///     fn aspect(&self) -> SecurityAspect {
///         SecurityAspect::Permissions
///     }
///     async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
///         Ok(vec![SecurityFinding {
///             what: "the deployer's account".to_owned(),
///             expected: "not root".to_owned(),
///             found: self.name.clone(),
///             holds: self.name != "root",
///         }])
///     }
/// }
/// ```
#[async_trait]
pub trait SecurityCheck: Send + Sync {
    /// The check's name, unique among the checks of one step.
    fn name(&self) -> Name;

    /// What it is about, and so what it proves.
    fn aspect(&self) -> SecurityAspect;

    /// Its parameters, secrets as references, for the plan's fingerprint.
    fn definition(&self) -> Value {
        Value::Null
    }

    /// Looks, and says what it found. An empty answer is no pass.
    ///
    /// # Errors
    /// Any kind where it could not look; something that is not as it must be is a finding, not an error.
    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError>;
}
