use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::environment::Environment;
use crate::gate::StandardGate;
use crate::name::{Actor, Digest, Name};
use crate::policy::{Policy, Proof};
use crate::rollback::Reversibility;
use crate::stage::{ActivityName, StageName};
use crate::step::Preview;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is deployed.
    pub application: Name,
    /// Where.
    pub environment: Environment,
    /// Which version.
    pub release: Name,
    /// The artefacts that the build must give; empty where it is left open.
    pub artifacts: Vec<Digest>,
    /// Who starts the run.
    pub initiator: Actor,
    /// What a failure does.
    pub on_failure: OnFailure,
    /// How long the replaced instances are kept after the run is verified.
    pub keep_warm: Duration,
    /// How many people must approve it.
    pub approvals: u32,
    /// What the environment demands; none in the journals of older versions, whose runs were not judged at borders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<Policy>>,
    /// The eight stages, in order.
    pub stages: Vec<PlannedStage>,
    /// The digest of the definition: the same on resume, or the run is incompatible.
    pub fingerprint: Digest,
    /// The digest of the definition, the previews' changes and the facts that must still hold: approvals bind to it.
    pub hash: Digest,
}

/// What a failure does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Everything is undone before the failure is returned.
    #[default]
    RollBack,
    /// Everything stays as it is, and somebody decides: try what failed once more, roll back, or leave it. A policy that was broken at
    /// a border leaves only the last two ([`Violations`](crate::policy::Violations)).
    Hold,
}

/// One stage of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStage {
    /// The stage.
    pub stage: StageName,
    /// Why the whole stage is left out, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<Declaration>,
    /// The activities that are left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<(ActivityName, Declaration)>,
    /// The steps and rollouts, in order.
    pub items: Vec<PlannedItem>,
}

/// Why something that the standard demands is left out, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub by: Actor,
}

/// One step or rollout of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedItem {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: ItemKind,
    /// Items of one group run at the same time; groups run in order.
    pub group: u32,
    /// The activities that it covers.
    pub covers: Vec<ActivityName>,
    /// How it is undone.
    pub reversibility: Reversibility,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// What no other run may touch meanwhile.
    pub resources: Vec<Name>,
    /// What it will prove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proves: Vec<Proof>,
    /// The standard's figures that it will measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<StandardGate>,
    /// Its parameters.
    pub definition: Value,
    /// What it would change.
    pub preview: Preview,
}

/// What an item of a plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ItemKind {
    /// One effect.
    Step,
    /// The replacement of one service.
    Rollout {
        /// The strategy's name.
        strategy: Name,
    },
}

/// One of the standard's 36 rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRow {
    /// The activity.
    pub activity: ActivityName,
    /// Who does it, or why nobody does.
    pub coverage: Coverage,
}

/// Who does an activity, or why nobody does.
#[derive(Debug, Clone, PartialEq)]
pub enum Coverage {
    /// These steps and rollouts do it.
    Covered(Vec<Name>),
    /// It was declared not applicable.
    NotApplicable(Declaration),
    /// Nobody does it and nobody said why: the plan is refused.
    Missing,
}

impl Plan {
    /// All 36 activities of the standard, in its order.
    #[must_use]
    pub fn rows(&self) -> Vec<PlannedRow> {
        self.stages.iter().flat_map(PlannedStage::rows).collect()
    }

    /// The items of all stages with their stage, in order.
    pub fn items(&self) -> impl Iterator<Item = (StageName, &PlannedItem)> {
        self.stages.iter().flat_map(|stage| stage.items.iter().map(|item| (stage.stage, item)))
    }

    /// The item called `name` in `stage`.
    #[must_use]
    pub fn item(&self, stage: StageName, name: &Name) -> Option<&PlannedItem> {
        self.stage(stage)?.items.iter().find(|item| item.name == *name)
    }

    /// The stage called `stage`.
    #[must_use]
    pub fn stage(&self, stage: StageName) -> Option<&PlannedStage> {
        self.stages.iter().find(|planned| planned.stage == stage)
    }

    /// The last item without a way back: undo walks back to it and stops there.
    #[must_use]
    pub fn point_of_no_return(&self) -> Option<(StageName, &PlannedItem)> {
        self.items()
            .filter(|(_, item)| matches!(item.reversibility, Reversibility::Irreversible { .. }))
            .last()
    }
}

impl PlannedStage {
    /// The stage's activities, in the standard's order.
    #[must_use]
    pub fn rows(&self) -> Vec<PlannedRow> {
        let row = |activity: ActivityName| {
            let coverage = self.coverage(&activity);
            PlannedRow { activity, coverage }
        };
        self.stage.activities().into_iter().map(row).collect()
    }

    fn coverage(&self, activity: &ActivityName) -> Coverage {
        let covering = self.items.iter().filter(|item| item.covers.contains(activity));
        let names: Vec<Name> = covering.map(|item| item.name.clone()).collect();
        if !names.is_empty() {
            return Coverage::Covered(names);
        }
        let declared = self.without.iter().find(|(left_out, _)| left_out == activity);
        let declaration = declared.map(|(_, declaration)| declaration).or(self.not_applicable.as_ref());
        declaration.map_or(Coverage::Missing, |declaration| Coverage::NotApplicable(declaration.clone()))
    }
}
