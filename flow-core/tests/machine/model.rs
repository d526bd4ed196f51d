//! What must hold of every accepted sequence, said without the machine's own words.

use std::collections::{BTreeMap, BTreeSet};

use flow_core::Name;
use flow_core::Reversibility;
use flow_core::journal::{End, Entry, RunOutcome};
use flow_core::machine::{CallKey, Phase};
use flow_core::plan::{ItemKind, Plan};
use flow_core::stage::StageName;

type Target = (StageName, Name);

/// What the accepted entries say happened in the world.
#[derive(Debug, Default)]
pub(crate) struct Model {
    finished: Vec<StageName>,
    captured: BTreeSet<Target>,
    begun: Vec<Target>,
    /// The ends of every attempt of a call; none for one under way or lost.
    attempts: BTreeMap<CallKey, Vec<Option<End>>>,
    ended: BTreeMap<CallKey, End>,
    turned_back: bool,
    parked: bool,
    over: bool,
    undone: Vec<Target>,
    resolved: BTreeSet<Target>,
    failed: BTreeSet<Target>,
}

impl Model {
    pub(crate) fn accept(&mut self, plan: &Plan, entry: &Entry) -> Result<(), String> {
        ensure(!self.over, "an entry after the end")?;
        match entry {
            Entry::Read { key, .. } if key.phase == Phase::Capture => {
                let target = (key.stage, key.step.clone());
                ensure(!self.begun.contains(&target), "a capture after the effect began")?;
                ensure(self.captured.insert(target), "a capture repeated")?;
            }
            Entry::Intended { key, attempt } => self.intend(plan, key, *attempt)?,
            Entry::Attempted { key, end, .. } => self.close_attempt(key, *end)?,
            Entry::Ended { key, ended } => {
                self.close_attempt(key, ended.end)?;
                let doubtful = self.attempts[key].iter().any(|end| end.is_none_or(|end| end == End::InDoubt));
                ensure(!(doubtful && ended.end == End::Rejected), "doubt taken back by a later rejection")?;
                self.ended.insert(key.clone(), ended.end);
            }
            Entry::StageFinished { stage } => {
                ensure(StageName::ALL.get(self.finished.len()) == Some(stage), "a stage out of order")?;
                ensure(!self.turned_back, "forward after turning back")?;
                let items = &plan.stage(*stage).unwrap().items;
                let missing = items.iter().any(|item| {
                    matches!(item.kind, ItemKind::Step)
                        && self.ended.get(&step_key(*stage, &item.name)) != Some(&End::Done)
                });
                ensure(!missing, "a stage finished without one of its steps")?;
                self.finished.push(*stage);
            }
            Entry::UndoFrozen { .. } => {
                ensure(!std::mem::replace(&mut self.turned_back, true), "turned back twice")?;
            }
            Entry::Undone { stage, step } => self.undo(plan, &(*stage, step.clone()))?,
            Entry::Resolved { stage, step, .. } => drop(self.resolved.insert((*stage, step.clone()))),
            Entry::UndoFailed { stage, step, .. } => drop(self.failed.insert((*stage, step.clone()))),
            Entry::Parked { .. } => self.parked = true,
            Entry::Resumed { .. } => {
                ensure(std::mem::take(&mut self.parked), "resumed what was not parked")?;
                self.failed.clear();
                let again = if self.turned_back { Phase::Undo } else { Phase::Do };
                self.ended.retain(|key, end| *end == End::Done || key.phase != again);
            }
            Entry::Released { .. } => self.ended.retain(|_, end| *end == End::Done),
            Entry::Finished { outcome } => self.finish(plan, outcome)?,
            _ => {}
        }
        Ok(())
    }

    fn intend(&mut self, plan: &Plan, key: &CallKey, attempt: u32) -> Result<(), String> {
        let target = (key.stage, key.step.clone());
        let attempts = self.attempts.entry(key.clone()).or_default();
        ensure(attempts.len() + 1 == attempt as usize, "attempts are not counted one by one")?;
        attempts.push(None);
        ensure(!self.ended.contains_key(key), "an attempt after the end")?;
        ensure(!self.parked, "an effect of a parked run")?;
        match key.phase {
            Phase::Do => {
                ensure(!self.turned_back, "an effect forward after turning back")?;
                ensure(self.captured.contains(&target), "an effect without a capture")?;
                let rollout =
                    matches!(plan.item(key.stage, &key.step).unwrap().kind, ItemKind::Rollout { .. });
                let here = StageName::ALL.get(self.finished.len()) == Some(&key.stage);
                ensure(here || (rollout && self.finished.len() == 8), "an effect of a stage out of turn")?;
                if !self.begun.contains(&target) {
                    self.begun.push(target);
                }
            }
            Phase::Undo => {
                ensure(self.turned_back, "an undo of a run that goes forward")?;
                ensure(self.begun.contains(&target), "an undo of what never began")?;
                ensure(!self.undone.contains(&target), "undone twice")?;
            }
            _ => return Err("an intent of a call that only reads".to_owned()),
        }
        Ok(())
    }

    fn close_attempt(&mut self, key: &CallKey, end: End) -> Result<(), String> {
        let last = self.attempts.get_mut(key).and_then(|attempts| attempts.last_mut());
        match last {
            Some(open @ None) => *open = Some(end),
            _ => return Err("an end of what is not under way".to_owned()),
        }
        Ok(())
    }

    /// Whatever began after `target`, outside its group, is undone or was tried before it.
    fn undo(&mut self, plan: &Plan, target: &Target) -> Result<(), String> {
        ensure(!self.undone.contains(target), "undone twice")?;
        let at = self.begun.iter().position(|begun| begun == target).ok_or("undone what never began")?;
        let group = |(stage, step): &Target| (*stage, plan.item(*stage, step).unwrap().group);
        let later = self.begun[at + 1..].iter().filter(|later| group(later) != group(target));
        for later in later.filter(|later| self.stands(plan, later)) {
            let tried =
                self.undone.contains(later) || self.resolved.contains(later) || self.failed.contains(later);
            ensure(tried, "undone out of order")?;
        }
        self.undone.push(target.clone());
        Ok(())
    }

    fn stands(&self, plan: &Plan, (stage, step): &Target) -> bool {
        let back = &plan.item(*stage, step).unwrap().reversibility;
        *back != Reversibility::NothingToUndo
            && self.attempts.keys().any(|key| {
                key.phase == Phase::Do
                    && (key.stage, &key.step) == (*stage, step)
                    && self.ended.get(key) != Some(&End::Rejected)
            })
    }

    fn finish(&mut self, plan: &Plan, outcome: &RunOutcome) -> Result<(), String> {
        match outcome {
            RunOutcome::Completed => {
                ensure(self.finished.len() == 8, "completed without all eight stages")?;
                ensure(!self.turned_back, "completed after turning back")?;
            }
            RunOutcome::RolledBack => {
                ensure(self.turned_back, "rolled back without turning back")?;
                let left = self.begun.iter().find(|target| {
                    self.stands(plan, target)
                        && !self.undone.contains(target)
                        && !self.resolved.contains(target)
                });
                ensure(left.is_none(), "rolled back with something standing")?;
            }
            RunOutcome::Closed { .. } => {}
        }
        self.over = true;
        Ok(())
    }
}

pub(crate) fn step_key(stage: StageName, step: &Name) -> CallKey {
    CallKey { stage, step: step.clone(), phase: Phase::Do, unit: 0 }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
