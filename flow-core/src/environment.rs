//! The four environments of the standard.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a release is deployed to, from the least to the most careful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Quick checks while developing.
    Development,
    /// Functional and integration tests.
    Testing,
    /// The last check before production.
    Staging,
    /// What users use.
    Production,
}

impl Environment {
    /// All four, from the least to the most careful.
    pub const ALL: [Self; 4] = [Self::Development, Self::Testing, Self::Staging, Self::Production];

    /// The environment as lower-case text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Testing => "testing",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Environment {
    type Err = UnknownEnvironment;

    fn from_str(text: &str) -> Result<Self, UnknownEnvironment> {
        let known = Self::ALL.into_iter().find(|environment| environment.as_str() == text);
        known.ok_or_else(|| UnknownEnvironment { text: text.to_owned() })
    }
}

/// A text that names no [`Environment`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not one of `development`, `testing`, `staging`, `production`")]
pub struct UnknownEnvironment {
    /// The refused text.
    pub text: String,
}
