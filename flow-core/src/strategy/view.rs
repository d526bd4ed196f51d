use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gate::{Judgement, Thresholds};
use crate::name::Name;
use crate::port::{InstanceId, Weights};

/// What is known of a fleet when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetShape {
    /// How many instances the service has.
    pub size: u32,
    /// The router's smallest step of a weight, in percent.
    pub granularity: u8,
    /// Whether a gate watches the rollout.
    pub gated: bool,
}

/// One instance, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its id.
    pub id: InstanceId,
    /// The version that it runs.
    pub version: Name,
    /// Whether it was proved healthy.
    pub healthy: bool,
    /// Whether the router sends it new requests.
    pub routed: bool,
    /// The requests that it is answering.
    pub in_flight: u64,
}

/// What a rollout does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "move")]
pub enum Move {
    /// Starts this many more instances of the new version and waits until they are healthy.
    Launch {
        /// How many.
        count: u32,
    },
    /// Puts weights in force and observes them. Each version's share goes to its healthy instances but those leaving.
    Shift {
        /// The weights.
        weights: Weights,
        /// Instances that get no new requests from now on, whatever their version's share.
        leaving: Vec<InstanceId>,
    },
    /// Waits.
    Bake {
        /// How long.
        duration: Duration,
    },
    /// Asks the gate, over everything since the last shift.
    Judge,
    /// Waits until somebody approves.
    AwaitApproval {
        /// What is approved.
        gate: Name,
    },
    /// Stops instances after they have drained.
    Retire {
        /// Which.
        instances: Vec<InstanceId>,
        /// When.
        when: RetireWhen,
    },
    /// The rollout has what it wants.
    Done,
    /// The rollout is given up: back to the baseline.
    Abort {
        /// Why.
        reason: String,
    },
}

/// When a retirement happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetireWhen {
    /// Now: the room is needed.
    Now,
    /// When the run is verified and the plan's `keep_warm` has passed; until then the way back is instant.
    KeepWarm,
}

/// A move that was made, and what the gate said if it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// The move.
    #[serde(rename = "made")]
    pub made: Move,
    /// What the gate said, for [`Move::Judge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// Everything a strategy may look at, all of it recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutView {
    /// The service.
    pub service: Name,
    /// How many instances it is to have.
    pub size: u32,
    /// The version that served before the rollout; none on the first one.
    pub old: Option<Name>,
    /// The version that is rolled out.
    pub new: Name,
    /// The instances as just observed, ordered by id.
    pub instances: Vec<Seen>,
    /// The weights as just observed.
    pub weights: Weights,
    /// The router's smallest step of a weight, in percent.
    pub granularity: u8,
    /// The gate that watches the rollout, if there is one.
    pub gate: Option<Thresholds>,
    /// The moves made so far, oldest first.
    pub history: Vec<Past>,
}

impl RolloutView {
    /// How many healthy instances of `version` there are.
    #[must_use]
    pub fn ready(&self, version: &Name) -> u32 {
        let ready = self.instances.iter().filter(|seen| seen.healthy && seen.version == *version).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// How many instances of `version` there are.
    #[must_use]
    pub fn count(&self, version: &Name) -> u32 {
        let count = self.instances.iter().filter(|seen| seen.version == *version).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// How many instances of `version` serve: proved healthy and sent new requests.
    #[must_use]
    pub fn serving(&self, version: &Name) -> u32 {
        let serves = |seen: &&Seen| seen.healthy && seen.routed && seen.version == *version;
        u32::try_from(self.instances.iter().filter(serves).count()).unwrap_or(u32::MAX)
    }

    /// How many instances of the new version this rollout has asked for so far.
    #[must_use]
    pub fn launched(&self) -> u32 {
        let counts = self.history.iter().map(|past| match past.made {
            Move::Launch { count } => count,
            _ => 0,
        });
        counts.fold(0, u32::saturating_add)
    }

    /// Whether this rollout has retired `instance`: it is on its way out, at once or when nothing needs it any more.
    #[must_use]
    pub fn is_retired(&self, instance: &InstanceId) -> bool {
        self.history.iter().any(|past| match &past.made {
            Move::Retire { instances, .. } => instances.contains(instance),
            _ => false,
        })
    }

    /// The weights that the last shift put in force; none before the first one.
    #[must_use]
    pub fn shifted_to(&self) -> Option<&Weights> {
        self.history.iter().rev().find_map(|past| match &past.made {
            Move::Shift { weights, .. } => Some(weights),
            _ => None,
        })
    }

    /// The instances that do not run the new version, ordered by id.
    pub fn replaced(&self) -> impl Iterator<Item = &Seen> {
        self.instances.iter().filter(|seen| seen.version != self.new)
    }

    /// The moves made since the last shift, oldest first; all of them where there was none.
    #[must_use]
    pub fn since_shift(&self) -> &[Past] {
        let shifts = self.history.iter().rposition(|past| matches!(past.made, Move::Shift { .. }));
        let from = shifts.map_or(0, |index| index + 1);
        self.history.get(from..).unwrap_or_default()
    }

    /// How long was baked since the last shift.
    #[must_use]
    pub fn baked(&self) -> Duration {
        let baked = self.since_shift().iter().map(|past| match past.made {
            Move::Bake { duration } => duration,
            _ => Duration::ZERO,
        });
        baked.sum()
    }
}
