//! Writes a history entry by entry, as the engine would, on a clock of its own.

use std::time::Duration;

use flow_core::journal::{self, End, Ended, Entry, FORMAT, RawRecord, Record, Recorded, RunOutcome, Signal};
use flow_core::machine::{CallKey, Phase, State};
use flow_core::plan::Plan;
use flow_core::report::Report;
use flow_core::stage::StageName;
use flow_core::{Cause, Fence, Name};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::plan::actor;

/// Something that a captured state would hold: it must never come up in a report.
pub(crate) const SECRET: &str = "hunter2";

/// A history under way.
pub(crate) struct Story {
    pub(crate) entries: Vec<Entry>,
    raw: Vec<RawRecord>,
    now: Timestamp,
    fence: Fence,
}

pub(crate) fn key(stage: StageName, step: &Name, phase: Phase, unit: u32) -> CallKey {
    CallKey { stage, step: step.clone(), phase, unit }
}

impl Story {
    /// Nothing is recorded yet.
    pub(crate) fn new() -> Self {
        let now = "2026-03-01T10:00:00.25Z".parse().unwrap();
        Self { entries: Vec::new(), raw: Vec::new(), now, fence: Fence(1) }
    }

    /// A run of `plan` begins.
    pub(crate) fn of(plan: Plan, say: &dyn Fn(&str) -> String) -> Self {
        let approvals = if plan.approvals == 0 { Vec::new() } else { vec![actor(&say("bob"))] };
        let (plan, owner) = (Box::new(plan), say("pid-7-deploy1"));
        Self::new().then(Entry::Started { format: FORMAT, plan, owner, approvals })
    }

    /// Time goes by.
    pub(crate) fn after(mut self, duration: Duration) -> Self {
        self.now = self.now.checked_add(duration).unwrap();
        self
    }

    /// Adds an entry, 250 ms after the one before.
    pub(crate) fn then(mut self, entry: Entry) -> Self {
        self = self.after(Duration::from_millis(250));
        let before = self.raw.last().map(|raw| (raw.seq, raw.hash));
        self.raw.push(journal::write(before, self.now, self.fence, &entry).unwrap());
        self.entries.push(entry);
        self
    }

    /// A step or a rollout captures what its undo needs.
    pub(crate) fn capture(self, stage: StageName, step: &Name) -> Self {
        let recorded = Recorded(json!({ "open": { "before": SECRET } }));
        self.then(Entry::Read { key: key(stage, step, Phase::Capture, 0), recorded })
    }

    pub(crate) fn intend(self, key: &CallKey, attempt: u32) -> Self {
        self.then(Entry::Intended { key: key.clone(), attempt })
    }

    /// A call ends well after `seconds`.
    pub(crate) fn done(self, key: &CallKey, seconds: u64, recorded: Value) -> Self {
        let began = self.now;
        let story = self.after(Duration::from_secs(seconds));
        let recorded = Some(Recorded(recorded));
        let ended = Ended { end: End::Done, began, ended: story.now, recorded, cause: None };
        story.then(Entry::Ended { key: key.clone(), ended: Box::new(ended) })
    }

    /// A call ends badly after a second.
    pub(crate) fn fail(self, key: &CallKey, end: End, cause: &Cause) -> Self {
        let began = self.now;
        let story = self.after(Duration::from_secs(1));
        let ended = Ended { end, began, ended: story.now, recorded: None, cause: Some(cause.clone()) };
        story.then(Entry::Ended { key: key.clone(), ended: Box::new(ended) })
    }

    /// A whole call that ends well at once.
    pub(crate) fn call(self, key: &CallKey, seconds: u64, recorded: Value) -> Self {
        self.intend(key, 1).done(key, seconds, recorded)
    }

    /// A whole step.
    pub(crate) fn step(self, stage: StageName, step: &Name, receipt: Value) -> Self {
        self.capture(stage, step).call(&key(stage, step, Phase::Do, 0), 3, receipt)
    }

    pub(crate) fn finish_stage(self, stage: StageName) -> Self {
        self.then(Entry::StageFinished { stage })
    }

    /// Another owner takes over after `seconds`.
    pub(crate) fn take_over(mut self, owner: String, seconds: u64) -> Self {
        self.fence = Fence(self.fence.0 + 1);
        let fence = self.fence;
        self.after(Duration::from_secs(seconds)).then(Entry::OwnerChanged { owner, fence })
    }

    pub(crate) fn signal(self, key: &CallKey, signal: Signal) -> Self {
        self.then(Entry::WaitBegan { key: key.clone(), until: None })
            .after(Duration::from_mins(2))
            .then(Entry::Signalled { key: key.clone(), signal })
    }

    pub(crate) fn sleep(self, key: &CallKey, duration: Duration) -> Self {
        let until = self.now.checked_add(duration).unwrap();
        self.then(Entry::SleepBegan { key: key.clone(), until })
            .after(duration)
            .then(Entry::SleepEnded { key: key.clone() })
    }

    /// The list of what stands is frozen, as the machine has it.
    pub(crate) fn freeze(self, cause: &Cause) -> Self {
        let targets = self.state().running().unwrap().undo_plan().targets;
        self.then(Entry::UndoFrozen { cause: cause.clone(), targets })
    }

    /// A step is undone; a rollout in three calls.
    pub(crate) fn undo(self, stage: StageName, step: &Name, calls: u32) -> Self {
        let undone = (0..calls)
            .fold(self, |story, unit| story.call(&key(stage, step, Phase::Undo, unit), 2, Value::Null));
        undone.then(Entry::Undone { stage, step: step.clone() })
    }

    /// Whatever still stands is what the machine says.
    pub(crate) fn park(self, cause: &Cause) -> Self {
        let standing = self.state().running().unwrap().still_standing();
        self.then(Entry::Parked { standing, cause: cause.clone() })
    }

    pub(crate) fn finish(self, outcome: RunOutcome) -> Self {
        self.then(Entry::Finished { outcome })
    }

    pub(crate) fn state(&self) -> State {
        State::replay(&self.entries).unwrap()
    }

    /// The records as they come out of a journal.
    pub(crate) fn records(&self) -> Vec<Record> {
        journal::read(&self.raw).unwrap()
    }

    pub(crate) fn report(&self) -> Report {
        Report::of(self.records())
    }
}
