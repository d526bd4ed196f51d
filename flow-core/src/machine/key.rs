use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::stage::StageName;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads the state that undoing will need.
    Capture,
    /// Changes something.
    Do,
    /// Reads what a rollout looks like.
    Observe,
    /// Changes something back.
    Undo,
}

/// Names a call: the same in every process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallKey {
    /// The stage.
    pub stage: StageName,
    /// The step or rollout.
    pub step: Name,
    /// What the call is for.
    pub phase: Phase,
    /// Counts the calls of a rollout; 0 for a step.
    pub unit: u32,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Capture => "capture",
            Phase::Do => "do",
            Phase::Observe => "observe",
            Phase::Undo => "undo",
        };
        write!(f, "{}/{}/{phase}/{}", self.stage, self.step, self.unit)
    }
}
