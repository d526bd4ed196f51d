use std::collections::BTreeMap;
use std::sync::Arc;

use crate::journal::{End, Ended, Entry, FORMAT, RunOutcome};
use crate::machine::state::Progress;
use crate::machine::{CallKey, CallState, EffectState, Mode, Phase, Running, State, TargetState};
use crate::name::Name;
use crate::permit::Fence;
use crate::plan::{ItemKind, Plan, PlannedItem};
use crate::stage::StageName;

/// An entry that cannot follow: the journal, or the engine that wrote it, is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegal(pub(crate) String);

fn illegal<T>(reason: impl Into<String>) -> Result<T, Illegal> {
    Err(Illegal(reason.into()))
}

fn require(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Illegal> {
    if holds { Ok(()) } else { Err(Illegal(reason())) }
}

impl State {
    /// Takes `entry` in. On an error the state is unchanged.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        match (&mut *self, entry) {
            (Self::Fresh, Entry::Started { format, plan, .. }) => {
                require(*format <= FORMAT, || format!("format {format} is newer than {FORMAT}"))?;
                *self = Self::Begun(Box::new(Running::start(plan)?));
                Ok(())
            }
            (Self::Fresh, _) => illegal("the first entry is not `started`"),
            (Self::Begun(_), Entry::Started { .. }) => illegal("the run was started already"),
            (Self::Begun(running), entry) => running.apply(entry),
        }
    }
}

fn places(plan: &Plan) -> BTreeMap<StageName, BTreeMap<Name, usize>> {
    let mut places: BTreeMap<_, BTreeMap<Name, usize>> = BTreeMap::new();
    for planned in &plan.stages {
        let stage = places.entry(planned.stage).or_default();
        for (at, item) in planned.items.iter().enumerate() {
            stage.entry(item.name.clone()).or_insert(at);
        }
    }
    places
}

impl Running {
    fn start(plan: &Plan) -> Result<Self, Illegal> {
        let order = plan.stages.iter().map(|planned| planned.stage);
        require(order.eq(StageName::ALL), || "the plan does not have the eight stages in order".to_owned())?;
        Ok(Self {
            plan: Arc::new(plan.clone()),
            mode: Mode::Forward,
            stage: Some(StageName::Prepare),
            calls: [].into(),
            begun: Vec::new(),
            concluded: [].into(),
            undo: None,
            cause: None,
            standing: Vec::new(),
            fence: Fence(0),
            places: Arc::new(places(plan)),
        })
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        require(!self.mode.is_over(), || "the run is over".to_owned())?;
        match entry {
            Entry::Started { .. } => illegal("the run was started already"),
            Entry::OwnerChanged { fence, .. } => self.change_owner(*fence),
            Entry::Read { key, recorded } => self.read(key, CallState::Read(recorded.clone())),
            Entry::Intended { key, attempt } => self.intend(key, *attempt),
            Entry::Attempted { key, attempt, end, .. } => self.attempted(key, *attempt, *end),
            Entry::Ended { key, ended } => self.end(key, ended),
            Entry::SleepBegan { key, until } => self.pause(key, CallState::Sleep(*until, Progress::Pending)),
            Entry::SleepEnded { key } => self.wake(key),
            Entry::WaitBegan { key, until } => self.pause(key, CallState::Wait(*until, None)),
            Entry::Signalled { key, signal } => match self.calls.get_mut(key) {
                Some(CallState::Wait(_, answer @ None)) => {
                    *answer = Some(signal.clone());
                    Ok(())
                }
                _ => illegal(format!("`{key}` waits for nothing")),
            },
            Entry::Concluded { stage, step, receipt } => self.conclude(*stage, step, receipt),
            Entry::StageFinished { stage } => self.finish_stage(*stage),
            Entry::Held { cause } => {
                self.in_mode(&[Mode::Forward], "held")?;
                self.nothing_open()?;
                self.mode = Mode::Held;
                self.cause = Some(cause.clone());
                Ok(())
            }
            Entry::Released { .. } => {
                self.in_mode(&[Mode::Held], "released")?;
                self.reopen(Phase::Do);
                self.mode = Mode::Forward;
                self.cause = None;
                Ok(())
            }
            Entry::UndoFrozen { .. }
            | Entry::Undone { .. }
            | Entry::UndoFailed { .. }
            | Entry::Parked { .. }
            | Entry::Resumed { .. }
            | Entry::Resolved { .. } => self.apply_undo(entry),
            Entry::Noted { .. } => Ok(()),
            Entry::Finished { outcome } => self.finish(outcome),
        }
    }

    fn apply_undo(&mut self, entry: &Entry) -> Result<(), Illegal> {
        match entry {
            Entry::UndoFrozen { cause, targets } => {
                self.in_mode(&[Mode::Forward, Mode::Held], "turned back")?;
                self.nothing_open()?;
                require(*targets == self.undo_plan().targets, || {
                    "the targets are not what stands".to_owned()
                })?;
                self.undo =
                    Some(targets.iter().map(|target| (target.clone(), TargetState::Pending)).collect());
                self.mode = Mode::Undoing;
                self.cause = Some(cause.clone());
                Ok(())
            }
            Entry::Undone { stage, step } => {
                let begun = self.effects(*stage, step, Phase::Undo).next().is_some();
                require(begun, || format!("nothing was done to undo `{step}`"))?;
                let done = self.effects(*stage, step, Phase::Undo).all(EffectState::is_done);
                require(done, || format!("an undo of `{step}` is not done"))?;
                self.settle(*stage, step, TargetState::Undone)
            }
            Entry::UndoFailed { stage, step, cause } => {
                let open = self.effects(*stage, step, Phase::Undo).any(|undo| undo.open);
                require(!open, || format!("an undo of `{step}` is under way"))?;
                self.settle(*stage, step, TargetState::Failed(cause.clone()))
            }
            Entry::Parked { standing, cause } => self.park(standing, cause),
            Entry::Resumed { .. } => {
                self.in_mode(&[Mode::Parked], "resumed")?;
                self.resume();
                Ok(())
            }
            Entry::Resolved { stage, step, .. } => self.resolve(*stage, step),
            _ => illegal("not an entry about undoing"),
        }
    }

    fn change_owner(&mut self, fence: Fence) -> Result<(), Illegal> {
        require(fence > self.fence, || format!("fence {} does not grow", fence.0))?;
        self.fence = fence;
        for call in self.calls.values_mut() {
            if let CallState::Effect(effect) = call {
                effect.lose();
            }
        }
        Ok(())
    }

    /// The item that a call belongs to, if the item may act now.
    fn acting(&self, stage: StageName, step: &Name) -> Result<&PlannedItem, Illegal> {
        let Some((before, item)) = self.place(stage, step) else {
            return illegal(format!("the plan has no `{step}` in {stage}"));
        };
        // After the last stage only rollouts act: they retire what was kept warm.
        let closing = self.stage.is_none() && matches!(item.kind, ItemKind::Rollout { .. });
        require(self.stage == Some(stage) || closing, || format!("the run does not stand at {stage}"))?;
        // Groups follow each other, so the one right before stands for all that came before it.
        let mut previous = before.iter().rev().skip_while(|other| other.group == item.group).peekable();
        let group = previous.peek().map(|other| other.group);
        let mut previous = previous.take_while(|other| Some(other.group) == group);
        match previous.find(|other| !self.is_finished(stage, other)) {
            Some(other) => illegal(format!("`{step}` comes after `{}`, which is not finished", other.name)),
            None => Ok(item),
        }
    }

    fn read(&mut self, key: &CallKey, state: CallState) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Forward], "read")?;
        let item = self.acting(key.stage, &key.step)?;
        match key.phase {
            Phase::Capture => {
                require(key.unit == 0, || format!("`{key}` is a second capture"))?;
                let begun = self.effects(key.stage, &key.step, Phase::Do).next().is_some();
                require(!begun, || format!("`{key}` comes after the effect"))?;
            }
            Phase::Observe => {
                let rolls = matches!(item.kind, ItemKind::Rollout { .. });
                require(rolls, || format!("`{key}`: only a rollout observes"))?;
            }
            Phase::Do | Phase::Undo => return illegal(format!("`{key}` does not only read")),
        }
        self.insert(key, state)
    }

    fn pause(&mut self, key: &CallKey, state: CallState) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Forward], "paused")?;
        let item = self.acting(key.stage, &key.step)?;
        let rolls = matches!(item.kind, ItemKind::Rollout { .. }) && key.phase == Phase::Do;
        require(rolls, || format!("`{key}`: only a rollout pauses"))?;
        self.settled_moves(key)?;
        self.insert(key, state)
    }

    fn insert(&mut self, key: &CallKey, state: CallState) -> Result<(), Illegal> {
        require(!self.calls.contains_key(key), || format!("`{key}` is recorded already"))?;
        self.calls.insert(key.clone(), state);
        Ok(())
    }

    fn intend(&mut self, key: &CallKey, attempt: u32) -> Result<(), Illegal> {
        match key.phase {
            Phase::Do => {
                self.in_mode(&[Mode::Forward], "intended")?;
                let item = self.acting(key.stage, &key.step)?;
                require(matches!(item.kind, ItemKind::Rollout { .. }) || key.unit == 0, || {
                    format!("`{key}`: a step has one effect")
                })?;
                let captured = self.captured(key.stage, &key.step).is_some();
                require(captured, || format!("`{key}`: nothing was captured for its undo"))?;
                self.settled_moves(key)?;
            }
            Phase::Undo => {
                self.in_mode(&[Mode::Undoing], "undone")?;
                let due = self.undo_frontier().iter().any(|t| t.stage == key.stage && t.step == key.step);
                require(due, || format!("`{key}`: its turn to be undone has not come"))?;
                let earlier = self.effects(key.stage, &key.step, Phase::Undo).take(key.unit as usize);
                let settled = earlier.filter(|undo| undo.is_done()).count() == key.unit as usize;
                require(settled, || format!("`{key}`: the undo before it is not done"))?;
            }
            Phase::Capture | Phase::Observe => return illegal(format!("`{key}` only reads")),
        }
        let begins = key.phase == Phase::Do && self.effects(key.stage, &key.step, Phase::Do).next().is_none();
        let call = self.calls.entry(key.clone()).or_insert_with(|| CallState::Effect(EffectState::default()));
        let CallState::Effect(effect) = call else { return illegal(format!("`{key}` is no effect")) };
        let follows = !effect.open && effect.ended.is_none() && attempt == effect.attempts + 1;
        if !follows {
            return illegal(format!("`{key}`: attempt {attempt} cannot follow {}", effect.attempts));
        }
        effect.attempts = attempt;
        effect.open = true;
        if begins {
            self.begun.push((key.stage, key.step.clone()));
        }
        Ok(())
    }

    /// A move whose intent is recorded is finished before the next one begins.
    fn settled_moves(&self, key: &CallKey) -> Result<(), Illegal> {
        let from = CallKey { unit: 0, ..key.clone() };
        let pending = self.calls.range(from..key.clone()).find(|(_, call)| match call {
            CallState::Effect(effect) => !effect.is_done(),
            CallState::Sleep(_, progress) => *progress == Progress::Pending,
            CallState::Wait(_, answer) => answer.is_none(),
            CallState::Read(_) => false,
        });
        match pending {
            Some((earlier, _)) => illegal(format!("`{key}`: `{earlier}` is not done")),
            None => Ok(()),
        }
    }

    fn open_effect(&mut self, key: &CallKey, attempt: Option<u32>) -> Result<&mut EffectState, Illegal> {
        match self.calls.get_mut(key) {
            Some(CallState::Effect(effect))
                if effect.open && attempt.is_none_or(|n| n == effect.attempts) =>
            {
                Ok(effect)
            }
            _ => illegal(format!("`{key}` is not under way")),
        }
    }

    fn attempted(&mut self, key: &CallKey, attempt: u32, end: End) -> Result<(), Illegal> {
        require(end != End::Done, || format!("`{key}`: an attempt that was done is not repeated"))?;
        let effect = self.open_effect(key, Some(attempt))?;
        effect.open = false;
        effect.worst = Some(effect.worst.map_or(end, |worst| worst.worst(end)));
        Ok(())
    }

    fn end(&mut self, key: &CallKey, ended: &Ended) -> Result<(), Illegal> {
        let effect = self.open_effect(key, None)?;
        let worst = effect.worst.map_or(ended.end, |worst| worst.worst(ended.end));
        require(worst == ended.end, || format!("`{key}`: an earlier attempt ended worse"))?;
        let told = if ended.end == End::Done { ended.recorded.is_some() } else { ended.cause.is_some() };
        require(told, || format!("`{key}`: an end without what it returned or why not"))?;
        effect.open = false;
        effect.ended = Some(ended.clone());
        Ok(())
    }

    fn wake(&mut self, key: &CallKey) -> Result<(), Illegal> {
        match self.calls.get_mut(key) {
            Some(CallState::Sleep(_, progress @ Progress::Pending)) => {
                *progress = Progress::Over;
                Ok(())
            }
            _ => illegal(format!("`{key}` does not sleep")),
        }
    }

    fn conclude(
        &mut self,
        stage: StageName,
        step: &Name,
        receipt: &crate::journal::Recorded,
    ) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Forward], "concluded")?;
        let item = self.acting(stage, step)?;
        require(matches!(item.kind, ItemKind::Rollout { .. }), || format!("`{step}` is no rollout"))?;
        require(self.stage == Some(stage), || format!("the run does not stand at {stage}"))?;
        let last = CallKey { stage, step: step.clone(), phase: Phase::Do, unit: u32::MAX };
        self.settled_moves(&last)?;
        let again = self.concluded.contains_key(&(stage, step.clone()));
        require(!again, || format!("`{step}` was concluded already"))?;
        self.concluded.insert((stage, step.clone()), receipt.clone());
        Ok(())
    }

    fn finish_stage(&mut self, stage: StageName) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Forward], "finished")?;
        require(self.stage == Some(stage), || format!("the run does not stand at {stage}"))?;
        let items = self.plan.stage(stage).map(|planned| planned.items.as_slice()).unwrap_or_default();
        let missing = items.iter().find(|item| !self.is_finished(stage, item));
        if let Some(item) = missing {
            return illegal(format!("{stage} cannot end: `{}` is not finished", item.name));
        }
        self.stage = stage.next();
        Ok(())
    }

    fn settle(&mut self, stage: StageName, step: &Name, to: TargetState) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Undoing], "undone")?;
        let due = self.undo_frontier().iter().any(|target| target.stage == stage && target.step == *step);
        require(due, || format!("the turn of `{step}` to be undone has not come"))?;
        let target = self.undo.iter_mut().flatten().find(|(t, _)| t.stage == stage && t.step == *step);
        if let Some((_, state)) = target {
            *state = to;
        }
        Ok(())
    }

    fn park(
        &mut self,
        standing: &[crate::journal::Standing],
        cause: &crate::error::Cause,
    ) -> Result<(), Illegal> {
        match self.mode {
            Mode::Undoing => {
                require(self.undo_frontier().is_empty(), || "something is still to be undone".to_owned())?;
                require(standing == self.still_standing(), || "that is not what stands".to_owned())?;
            }
            // The run is verified, but what was kept warm cannot be retired.
            Mode::Forward => require(self.stage.is_none(), || "a run parks only at its end".to_owned())?,
            _ => return illegal("the run cannot be parked now"),
        }
        require(!standing.is_empty(), || "nothing stands".to_owned())?;
        self.nothing_open()?;
        self.mode = Mode::Parked;
        self.standing = standing.to_vec();
        self.cause = Some(cause.clone());
        Ok(())
    }

    fn resume(&mut self) {
        self.standing.clear();
        let Some(targets) = &mut self.undo else {
            self.reopen(Phase::Do);
            self.mode = Mode::Forward;
            return;
        };
        for (_, state) in targets {
            if matches!(state, TargetState::Failed(_)) {
                *state = TargetState::Pending;
            }
        }
        self.reopen(Phase::Undo);
        self.mode = Mode::Undoing;
    }

    fn resolve(&mut self, stage: StageName, step: &Name) -> Result<(), Illegal> {
        self.in_mode(&[Mode::Parked], "resolved")?;
        let before = self.standing.len();
        self.standing.retain(|standing| standing.stage != stage || standing.step != *step);
        require(self.standing.len() < before, || format!("`{step}` does not stand"))?;
        let group = self.place(stage, step).map_or(0, |(_, item)| item.group);
        let Some(targets) = &mut self.undo else { return Ok(()) };
        match targets.iter_mut().find(|(t, _)| t.stage == stage && t.step == *step) {
            Some((_, state)) => *state = TargetState::Resolved,
            None => {
                let target = super::UndoTarget { stage, step: step.clone(), group };
                targets.push((target, TargetState::Resolved));
            }
        }
        Ok(())
    }

    fn finish(&mut self, outcome: &RunOutcome) -> Result<(), Illegal> {
        self.nothing_open()?;
        self.mode = match outcome {
            RunOutcome::Completed => {
                self.in_mode(&[Mode::Forward], "completed")?;
                require(self.stage.is_none(), || "not every stage is finished".to_owned())?;
                let pending =
                    self.calls.values().any(|call| matches!(call, CallState::Effect(e) if !e.is_done()));
                require(!pending, || "a call is not done".to_owned())?;
                Mode::Completed
            }
            RunOutcome::RolledBack => {
                self.in_mode(&[Mode::Undoing], "rolled back")?;
                require(self.undo_frontier().is_empty(), || "something is still to be undone".to_owned())?;
                require(self.still_standing().is_empty(), || "something still stands".to_owned())?;
                Mode::RolledBack
            }
            RunOutcome::Closed { .. } => {
                self.in_mode(&[Mode::Parked, Mode::Held], "closed")?;
                Mode::Closed
            }
        };
        Ok(())
    }

    fn in_mode(&self, modes: &[Mode], what: &str) -> Result<(), Illegal> {
        require(modes.contains(&self.mode), || format!("nothing is {what} while the run is {:?}", self.mode))
    }

    fn nothing_open(&self) -> Result<(), Illegal> {
        let open =
            self.calls.iter().find(|(_, call)| matches!(call, CallState::Effect(effect) if effect.open));
        match open {
            Some((key, _)) => illegal(format!("`{key}` is under way")),
            None => Ok(()),
        }
    }

    fn reopen(&mut self, phase: Phase) {
        for (key, call) in &mut self.calls {
            if let CallState::Effect(effect) = call
                && key.phase == phase
                && effect.ended_badly()
            {
                effect.reopen();
            }
        }
    }
}
