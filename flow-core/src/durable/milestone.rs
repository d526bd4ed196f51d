//! Milestones on their way into the journal.

use crate::durable::Milestone;
use crate::journal::{self, Entry};
use crate::machine::{State, TargetState};

/// Whether a milestone that a replaying engine publishes again stands in the journal already.
pub(super) fn is_recorded(state: &State, milestone: &Milestone) -> bool {
    let Some(running) = state.running() else { return false };
    match milestone {
        Milestone::Started { .. } => true,
        Milestone::Concluded { stage, step, .. } => running.concluded.contains_key(&(*stage, step.clone())),
        Milestone::StageFinished(stage) => running.stage.is_none_or(|at| at > *stage),
        Milestone::UndoFrozen { .. } => running.undo.is_some(),
        Milestone::Undone(stage, step) => running.undo.iter().flatten().any(|(target, state)| {
            *state == TargetState::Undone && target.stage == *stage && target.step == *step
        }),
        Milestone::Finished(_) => running.mode.is_over(),
        _ => false,
    }
}

pub(super) fn entry_of(milestone: Milestone, owner: &str) -> Entry {
    match milestone {
        Milestone::Started { plan, approvals } => {
            Entry::Started { format: journal::FORMAT, plan, owner: owner.to_owned(), approvals }
        }
        Milestone::Concluded { stage, step, receipt } => Entry::Concluded { stage, step, receipt },
        Milestone::StageFinished(stage) => Entry::StageFinished { stage },
        Milestone::Held(cause) => Entry::Held { cause },
        Milestone::Released(by) => Entry::Released { by },
        Milestone::UndoFrozen { cause, targets } => Entry::UndoFrozen { cause, targets },
        Milestone::Undone(stage, step) => Entry::Undone { stage, step },
        Milestone::UndoFailed(stage, step, cause) => Entry::UndoFailed { stage, step, cause },
        Milestone::Parked { standing, cause } => Entry::Parked { standing, cause },
        Milestone::Resumed(by) => Entry::Resumed { by },
        Milestone::Resolved { stage, step, by, evidence } => Entry::Resolved { stage, step, by, evidence },
        Milestone::Noted(facts) => Entry::Noted { facts },
        Milestone::Finished(outcome) => Entry::Finished { outcome },
    }
}
