use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Cause;
use crate::journal::{End, Ended, Entry, Recorded, Signal, Standing};
use crate::machine::transition::Illegal;
use crate::machine::{CallKey, Phase, TargetState, UndoTarget};
use crate::name::Name;
use crate::permit::Fence;
use crate::plan::{ItemKind, Plan, PlannedItem};
use crate::stage::StageName;

/// Where a run stands: the sum of its journal's entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum State {
    /// Nothing is recorded.
    #[default]
    Fresh,
    /// The run was started.
    Begun(Box<Running>),
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The plan that it follows.
    pub plan: Arc<Plan>,
    /// What it is about.
    pub mode: Mode,
    /// The stage that it stands at; none when all eight are finished.
    pub stage: Option<StageName>,
    /// What is known of every call.
    pub calls: BTreeMap<CallKey, CallState>,
    /// The steps and rollouts that began to change something, in the order of their first intent.
    pub begun: Vec<(StageName, Name)>,
    /// The receipts of rollouts.
    pub concluded: BTreeMap<(StageName, Name), Recorded>,
    /// What is undone and how far, once that is frozen.
    pub undo: Option<Vec<(UndoTarget, TargetState)>>,
    /// Why the run failed, was held or was parked.
    pub cause: Option<Cause>,
    /// What still stands of a parked run.
    pub standing: Vec<Standing>,
    /// The latest owner's fence; 0 until it first changes.
    pub fence: Fence,
    /// Where each item stands in its stage. Every entry asks for one, so a plan of many steps must not be searched.
    pub(super) places: Arc<BTreeMap<StageName, BTreeMap<Name, usize>>>,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It goes forward, stage by stage.
    Forward,
    /// It failed and waits for a decision.
    Held,
    /// It undoes what it did.
    Undoing,
    /// It cannot go on by itself.
    Parked,
    /// It is over: all eight stages are done.
    Completed,
    /// It is over: everything is undone.
    RolledBack,
    /// It is over: somebody answers for what still stands.
    Closed,
}

impl Mode {
    /// Whether the run is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Closed)
    }
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallState {
    /// It only read, and returned this.
    Read(Recorded),
    /// It changes something.
    Effect(EffectState),
    /// It sleeps until then; over or not.
    Sleep(Timestamp, Progress),
    /// It waits until then, if at all; the answer.
    Wait(Option<Timestamp>, Option<Signal>),
}

/// Whether a sleep is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not yet.
    Pending,
    /// It is.
    Over,
}

/// What is known of a call that changes something.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EffectState {
    /// How many attempts were intended.
    pub attempts: u32,
    /// Whether the latest attempt is under way, as far as the journal knows.
    pub open: bool,
    /// The worst end of the attempts that ended or were lost.
    pub worst: Option<End>,
    /// How the call ended, once it has.
    pub ended: Option<Ended>,
}

impl EffectState {
    /// Whether it may have left something in the world.
    #[must_use]
    pub fn may_stand(&self) -> bool {
        let end = self.ended.as_ref().map(|ended| ended.end);
        self.attempts > 0 && end != Some(End::Rejected)
    }

    /// Whether it did what it was to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.end == End::Done)
    }

    pub(super) fn ended_badly(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.end != End::Done)
    }

    /// Forgets a bad end, so that the call can be tried again; the worst of its attempts stays.
    pub(super) fn reopen(&mut self) {
        if let Some(ended) = self.ended.take_if(|ended| ended.end != End::Done) {
            self.worst = Some(self.worst.map_or(ended.end, |worst| worst.worst(ended.end)));
        }
    }

    /// The attempt under way was lost with its process: nobody can tell how it ended.
    pub(super) fn lose(&mut self) {
        if std::mem::take(&mut self.open) {
            self.worst = Some(End::InDoubt);
        }
    }
}

impl State {
    /// The state after `entry`. Pure: the same on the machine that wrote it and on any other.
    ///
    /// # Errors
    /// [`Illegal`] when `entry` cannot follow.
    pub fn next(mut self, entry: &Entry) -> Result<Self, Illegal> {
        self.apply(entry)?;
        Ok(self)
    }

    /// The state after all of `entries`.
    ///
    /// # Errors
    /// [`Illegal`] at the first entry that cannot follow.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Illegal> {
        entries.into_iter().try_fold(Self::Fresh, Self::next)
    }

    /// The run, if it was started.
    #[must_use]
    pub fn running(&self) -> Option<&Running> {
        match self {
            Self::Fresh => None,
            Self::Begun(running) => Some(running),
        }
    }
}

impl Running {
    /// What the effect called `key` is known to have done; none where it was never intended.
    #[must_use]
    pub fn effect(&self, key: &CallKey) -> Option<&EffectState> {
        match self.calls.get(key) {
            Some(CallState::Effect(effect)) => Some(effect),
            _ => None,
        }
    }

    /// The effects of a step or rollout in `phase`, by unit.
    pub fn effects<'a>(
        &'a self,
        stage: StageName,
        step: &'a Name,
        phase: Phase,
    ) -> impl Iterator<Item = &'a EffectState> {
        let from = CallKey { stage, step: step.clone(), phase, unit: 0 };
        let to = CallKey { unit: u32::MAX, ..from.clone() };
        self.calls.range(from..=to).filter_map(|(_, call)| match call {
            CallState::Effect(effect) => Some(effect),
            _ => None,
        })
    }

    /// The planned item called `step` with those before it in `stage`.
    pub(super) fn place(&self, stage: StageName, step: &Name) -> Option<(&[PlannedItem], &PlannedItem)> {
        let at = *self.places.get(&stage)?.get(step)?;
        let (before, rest) = self.plan.stage(stage)?.items.split_at_checked(at)?;
        Some((before, rest.first()?))
    }

    /// What a step or rollout captured before it began.
    #[must_use]
    pub fn captured(&self, stage: StageName, step: &Name) -> Option<&Recorded> {
        match self.calls.get(&CallKey { stage, step: step.clone(), phase: Phase::Capture, unit: 0 }) {
            Some(CallState::Read(recorded)) => Some(recorded),
            _ => None,
        }
    }

    /// What a finished step or rollout handed over.
    #[must_use]
    pub fn receipt(&self, stage: StageName, item: &PlannedItem) -> Option<&Recorded> {
        match item.kind {
            ItemKind::Rollout { .. } => self.concluded.get(&(stage, item.name.clone())),
            ItemKind::Step => {
                let key = CallKey { stage, step: item.name.clone(), phase: Phase::Do, unit: 0 };
                self.effect(&key)?.ended.as_ref()?.recorded.as_ref()
            }
        }
    }

    /// Whether a step or rollout of `stage` is finished.
    #[must_use]
    pub fn is_finished(&self, stage: StageName, item: &PlannedItem) -> bool {
        match item.kind {
            ItemKind::Rollout { .. } => self.concluded.contains_key(&(stage, item.name.clone())),
            ItemKind::Step => {
                let key = CallKey { stage, step: item.name.clone(), phase: Phase::Do, unit: 0 };
                self.effect(&key).is_some_and(EffectState::is_done)
            }
        }
    }
}
