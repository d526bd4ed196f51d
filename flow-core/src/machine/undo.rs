use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::journal::Standing;
use crate::machine::{EffectState, Phase, Running};
use crate::name::Name;
use crate::rollback::Reversibility;
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

impl UndoTarget {
    /// Whether the two are undone at the same time.
    fn is_beside(&self, other: &Self) -> bool {
        self.stage == other.stage && self.group == other.group
    }
}

/// How far the undo of one target has come.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetState {
    /// It is still to be undone.
    Pending,
    /// It is undone.
    Undone,
    /// It could not be undone.
    Failed(Cause),
    /// Somebody answers for it.
    Resolved,
}

/// What a failure undoes, and what it cannot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UndoPlan {
    /// What is undone, first one first.
    pub targets: Vec<UndoTarget>,
    /// What stands beyond the point of no return, first one first.
    pub standing: Vec<Standing>,
}

impl Running {
    /// What would be undone if the run turned back now.
    ///
    /// Every step and rollout with a recorded intent whose end is not `Rejected`, in reverse order of the first intents;
    /// but nothing at or before a step without a way back.
    #[must_use]
    pub fn undo_plan(&self) -> UndoPlan {
        let mut plan = UndoPlan::default();
        let mut beyond: Option<&Name> = None;
        for (stage, step) in self.begun.iter().rev() {
            let Some((_, item)) = self.place(*stage, step) else { continue };
            let stands = self.effects(*stage, step, Phase::Do).any(EffectState::may_stand);
            if !stands || item.reversibility == Reversibility::NothingToUndo {
                continue;
            }
            let reason = match (&item.reversibility, beyond) {
                (Reversibility::Irreversible { reason }, _) => reason.clone(),
                (_, Some(step)) => format!("before `{step}`, which has no way back"),
                _ => {
                    plan.targets.push(UndoTarget { stage: *stage, step: step.clone(), group: item.group });
                    continue;
                }
            };
            beyond.get_or_insert(&item.name);
            plan.standing.push(Standing { stage: *stage, step: step.clone(), reason });
        }
        plan
    }

    /// The targets that may be undone now: the first group with something pending.
    #[must_use]
    pub fn undo_frontier(&self) -> Vec<&UndoTarget> {
        let targets = self.undo.as_deref().unwrap_or_default();
        let Some((first, _)) = targets.iter().find(|(_, state)| *state == TargetState::Pending) else {
            return Vec::new();
        };
        let pending = targets
            .iter()
            .filter(|(target, state)| *state == TargetState::Pending && target.is_beside(first));
        pending.map(|(target, _)| target).collect()
    }

    /// Everything that is still to be undone, group by group: what [`undo_frontier`](Self::undo_frontier) will say, one
    /// time after the other, if nothing but undo happens.
    pub(crate) fn undo_groups(&self) -> Vec<Vec<UndoTarget>> {
        let mut groups: Vec<Vec<UndoTarget>> = Vec::new();
        let pending = self.undo.iter().flatten().filter(|(_, state)| *state == TargetState::Pending);
        for (target, _) in pending {
            match groups.last_mut().filter(|group| group.iter().all(|other| target.is_beside(other))) {
                Some(group) => group.push(target.clone()),
                None => groups.push(vec![target.clone()]),
            }
        }
        groups
    }

    /// What still stands once every target was tried: those that could not be undone, and all beyond the point of no
    /// return.
    #[must_use]
    pub fn still_standing(&self) -> Vec<Standing> {
        let failed = self.undo.iter().flatten().filter_map(|(target, state)| match state {
            TargetState::Failed(cause) => {
                let reason = cause.to_string();
                Some(Standing { stage: target.stage, step: target.step.clone(), reason })
            }
            _ => None,
        });
        let resolved = |standing: &Standing| {
            !self.undo.iter().flatten().any(|(target, state)| {
                *state == TargetState::Resolved
                    && target.stage == standing.stage
                    && target.step == standing.step
            })
        };
        failed.chain(self.undo_plan().standing.into_iter().filter(resolved)).collect()
    }
}
