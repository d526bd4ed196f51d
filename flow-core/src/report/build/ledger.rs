//! The history of a run as far as the machine accepts it, and the questions that the report asks of it.

use jiff::Timestamp;

use crate::error::Cause;
use crate::journal::{End, Entry, Record};
use crate::machine::{CallKey, CallState, Mode, Phase, Running, State};
use crate::name::Name;
use crate::report::{Direction, Refusal};
use crate::stage::StageName;

/// A history with the state that it leads to.
pub(super) struct Ledger<'a> {
    /// The records that the machine accepts.
    pub(super) records: &'a [Record],
    /// Where the run stands after them.
    pub(super) running: Option<Running>,
    /// The first record that it refuses.
    pub(super) refused: Option<Refusal>,
    /// The owners that were lost while they worked.
    pub(super) takeovers: Vec<Takeover>,
}

/// Another owner took over a run that its owner had not laid down.
pub(super) struct Takeover {
    /// The place of the entry among the records.
    pub(super) index: usize,
    pub(super) direction: Direction,
    /// The calls that were under way.
    pub(super) lost: Vec<CallKey>,
}

/// When something began and ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) began: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) attempts: u32,
}

impl Span {
    pub(super) fn duration_ms(&self) -> Option<u64> {
        Some(milliseconds(self.began?, self.ended?))
    }
}

impl<'a> Ledger<'a> {
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut state = State::default();
        let mut takeovers = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if let (Entry::OwnerChanged { .. }, Some(running)) = (&record.entry, state.running()) {
                takeovers.extend(takeover(index, running));
            }
            if let Err(illegal) = state.apply(&record.entry) {
                let refused = Some(Refusal { seq: record.seq, reason: illegal.to_string() });
                takeovers.retain(|takeover| takeover.index < index);
                let records = records.get(..index).unwrap_or_default();
                return Self { records, running: into_running(state), refused, takeovers };
            }
        }
        Self { records, running: into_running(state), refused: None, takeovers }
    }

    pub(super) fn mode(&self) -> Mode {
        self.running.as_ref().map_or(Mode::Forward, |running| running.mode)
    }

    /// The records from `index` on.
    pub(super) fn from(&self, index: usize) -> &'a [Record] {
        self.records.get(index..).unwrap_or_default()
    }

    /// When a step or rollout did its work.
    pub(super) fn forward(&self, stage: StageName, step: &Name) -> Span {
        let mut span = Span::default();
        let mut concluded = None;
        for record in self.records {
            let Some(key) = entry_key(&record.entry) else {
                if matches!(&record.entry, Entry::Concluded { stage: s, step: n, .. } if *s == stage && n == step)
                {
                    concluded = Some(record.at);
                }
                continue;
            };
            if key.stage != stage || key.step != *step || key.phase == Phase::Undo {
                continue;
            }
            span.began.get_or_insert(record.at);
            span.take(record);
        }
        span.ended = concluded.or(span.ended);
        span
    }

    /// When a step or rollout was undone.
    pub(super) fn backward(&self, stage: StageName, step: &Name) -> Span {
        let mut span = Span::default();
        for record in self.records {
            match &record.entry {
                Entry::Undone { stage: s, step: n } | Entry::UndoFailed { stage: s, step: n, .. }
                    if *s == stage && n == step =>
                {
                    // An undo that fails before it changes anything has no call of its own.
                    span.began.get_or_insert(record.at);
                    span.ended = Some(record.at);
                }
                entry => {
                    let key = entry_key(entry).filter(|key| key.phase == Phase::Undo);
                    if key.is_none_or(|key| key.stage != stage || key.step != *step) {
                        continue;
                    }
                    span.began.get_or_insert(record.at);
                    if let Entry::Intended { .. } = entry {
                        span.attempts += 1;
                        span.ended = None;
                    }
                }
            }
        }
        span
    }

    /// How many attempts `call` had in all, and how it ended.
    pub(super) fn end_of(&self, call: &CallKey) -> (u32, Option<End>) {
        let effect = self.running.as_ref().and_then(|running| running.effect(call));
        effect.map_or((0, None), |effect| (effect.attempts, effect.ended.as_ref().map(|ended| ended.end)))
    }

    /// The last end of a forward call of a step that has a cause: none that was done has one.
    pub(super) fn last_failure(&self, stage: StageName, step: &Name) -> Option<(End, &'a Cause)> {
        self.records.iter().rev().find_map(|record| match &record.entry {
            Entry::Ended { key, ended }
                if key.phase == Phase::Do && key.stage == stage && key.step == *step =>
            {
                ended.cause.as_ref().map(|cause| (ended.end, cause))
            }
            _ => None,
        })
    }
}

impl Span {
    fn take(&mut self, record: &Record) {
        match &record.entry {
            Entry::Intended { .. } => {
                self.attempts += 1;
                self.ended = None;
            }
            Entry::SleepBegan { .. } | Entry::WaitBegan { .. } => self.ended = None,
            Entry::Ended { ended, .. } => self.ended = Some(ended.ended),
            // A rollout's last call may be a wait or a look.
            Entry::SleepEnded { .. } | Entry::Signalled { .. } => self.ended = Some(record.at),
            Entry::Read { key, .. } if key.phase == Phase::Observe => self.ended = Some(record.at),
            _ => {}
        }
    }
}

fn into_running(state: State) -> Option<Running> {
    match state {
        State::Fresh => None,
        State::Begun(running) => Some(*running),
    }
}

/// A change of owner is a loss only where the run was not laid down: held or parked, it waits for anyone.
fn takeover(index: usize, running: &Running) -> Option<Takeover> {
    let direction = match running.mode {
        Mode::Forward => Direction::Forward,
        Mode::Undoing => Direction::Back,
        _ => return None,
    };
    let open =
        running.calls.iter().filter(|(_, call)| matches!(call, CallState::Effect(effect) if effect.open));
    Some(Takeover { index, direction, lost: open.map(|(key, _)| key.clone()).collect() })
}

/// The call that an entry is about.
pub(super) const fn entry_key(entry: &Entry) -> Option<&CallKey> {
    match entry {
        Entry::Read { key, .. }
        | Entry::Intended { key, .. }
        | Entry::Attempted { key, .. }
        | Entry::Ended { key, .. }
        | Entry::SleepBegan { key, .. }
        | Entry::SleepEnded { key }
        | Entry::WaitBegan { key, .. }
        | Entry::Signalled { key, .. } => Some(key),
        _ => None,
    }
}

/// The same moment in whole seconds, as reports show it.
pub(super) fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The time between two moments; nothing where a clock ran backwards.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
