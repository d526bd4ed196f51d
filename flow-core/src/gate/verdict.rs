use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a gate says. No evidence is never a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence is sufficient and good.
    Pass,
    /// The evidence is sufficient and bad.
    Fail,
    /// There is not enough evidence.
    Insufficient,
    /// The evidence could not be read.
    ProviderError,
}

/// A verdict that explains itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule and the counts that led to it, in one sentence.
    pub reason: String,
    /// The observed values by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, Value>,
}

/// What happens when a gate has no answer. There is no default: whoever sets up a gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSilence {
    /// Judge again, at most this many times in a row, then abort.
    Wait {
        /// How many times.
        times: u32,
    },
    /// Abort at once.
    Abort,
}

impl OnSilence {
    /// Whether to judge again after `times` judgements in a row without an answer.
    #[must_use]
    pub const fn waits(self, times: u32) -> bool {
        match self {
            Self::Wait { times: most } => times <= most,
            Self::Abort => false,
        }
    }
}
