use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::stage::StageName;

/// One step or rollout that is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoTarget {
    /// The stage.
    pub stage: StageName,
    /// The step.
    pub step: Name,
    /// Its group: targets of one group are undone at the same time.
    pub group: u32,
}
