//! Sequences of entries: what the run itself would write next, mixed with what it never should.

use flow_core::journal::{End, Ended, Entry, FORMAT, Recorded, RunOutcome, Standing};
use flow_core::machine::{CallKey, Mode, Phase, Running, State};
use flow_core::plan::{ItemKind, Plan, PlannedItem};
use flow_core::stage::StageName;
use flow_core::{Actor, Cause, ErrorKind, Fence, Name};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;

use crate::model::Model;
use crate::plan::plan;

fn cause() -> Cause {
    Cause::new(ErrorKind::Failed, "it does not work")
}

fn ann() -> Actor {
    Actor::new("ann").unwrap()
}

fn key(stage: StageName, step: &Name, phase: Phase, unit: u32) -> CallKey {
    CallKey { stage, step: step.clone(), phase, unit }
}

fn ended(end: End) -> Box<Ended> {
    let at = Timestamp::UNIX_EPOCH;
    let (recorded, cause) =
        if end == End::Done { (Some(Recorded::default()), None) } else { (None, Some(cause())) };
    Box::new(Ended { end, began: at, ended: at, recorded, cause })
}

/// Everything that could be written about one item, sensible now or not.
fn about(running: &Running, stage: StageName, item: &PlannedItem) -> Vec<Entry> {
    let step = &item.name;
    let mut entries = vec![
        Entry::Read { key: key(stage, step, Phase::Capture, 0), recorded: Recorded::default() },
        Entry::Undone { stage, step: step.clone() },
        Entry::UndoFailed { stage, step: step.clone(), cause: cause() },
        Entry::Resolved { stage, step: step.clone(), by: ann(), evidence: "looked".to_owned() },
    ];
    let units = if matches!(item.kind, ItemKind::Rollout { .. }) { 3 } else { 1 };
    for (phase, unit) in
        [Phase::Do, Phase::Undo].into_iter().flat_map(|phase| (0..units).map(move |unit| (phase, unit)))
    {
        let key = key(stage, step, phase, unit);
        let attempts = running.effect(&key).map_or(0, |effect| effect.attempts);
        entries.push(Entry::Intended { key: key.clone(), attempt: attempts + 1 });
        for end in [End::Done, End::Rejected, End::Cancelled, End::InDoubt] {
            entries.push(Entry::Ended { key: key.clone(), ended: ended(end) });
            entries.push(Entry::Attempted { key: key.clone(), attempt: attempts, end, cause: cause() });
        }
    }
    if units > 1 {
        entries.push(Entry::Concluded { stage, step: step.clone(), receipt: Recorded::default() });
        entries.push(Entry::Read { key: key(stage, step, Phase::Observe, 1), recorded: Recorded::default() });
    }
    entries
}

/// Everything that could be written about the run.
fn about_the_run(running: &Running) -> Vec<Entry> {
    let standing: Vec<Standing> = running.still_standing();
    let mut entries = vec![
        Entry::OwnerChanged { owner: "next".to_owned(), fence: Fence(running.fence.0 + 1) },
        Entry::OwnerChanged { owner: "late".to_owned(), fence: running.fence },
        Entry::Held { cause: cause() },
        Entry::Released { by: ann() },
        Entry::UndoFrozen { cause: cause(), targets: running.undo_plan().targets },
        Entry::UndoFrozen { cause: cause(), targets: Vec::new() },
        Entry::Parked { standing, cause: cause() },
        Entry::Resumed { by: ann() },
        Entry::Finished { outcome: RunOutcome::Completed },
        Entry::Finished { outcome: RunOutcome::RolledBack },
        Entry::Finished { outcome: RunOutcome::Closed { by: ann(), reason: "enough".to_owned() } },
    ];
    entries.extend(StageName::ALL.map(|stage| Entry::StageFinished { stage }));
    entries
}

/// Everything that could be written now.
fn candidates(state: &State, plan: &Plan) -> Vec<Entry> {
    let Some(running) = state.running() else {
        let plan = Box::new(plan.clone());
        let started = Entry::Started { format: FORMAT, plan, owner: "me".to_owned(), approvals: Vec::new() };
        return vec![started, Entry::StageFinished { stage: StageName::Prepare }];
    };
    // Items near to where the run stands are worth more tries than far ones.
    let near = |stage: StageName| running.undo.is_some() || running.stage.is_none_or(|at| at == stage);
    let mut all = about_the_run(running);
    for (stage, item) in plan.items().filter(|(stage, _)| near(*stage)) {
        all.extend(about(running, stage, item));
    }
    all
}

/// Keeps most runs going: an early end teaches little.
fn keeps_going(entry: &Entry) -> bool {
    !matches!(
        entry,
        Entry::Finished { outcome: RunOutcome::Closed { .. } }
            | Entry::Held { .. }
            | Entry::OwnerChanged { .. }
            | Entry::UndoFrozen { .. }
    )
}

/// The first entry from `start` on that is wanted and that the state takes, as a journal's writer would choose it.
fn legal(state: &State, all: &[Entry], start: &Index, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let start = start.index(all.len());
    let (before, after) = all.split_at(start);
    let mut wanted = after.iter().chain(before).filter(|entry| wanted(entry));
    wanted.find(|entry| state.clone().next(entry).is_ok()).cloned()
}

fn walk(choices: &[(u8, Index)], irreversible: bool) -> Result<State, TestCaseError> {
    let plan = plan(irreversible);
    let mut state = State::Fresh;
    let mut model = Model::default();
    let mut journal: Vec<Entry> = Vec::new();
    for (kind, index) in choices {
        let all = candidates(&state, &plan);
        let chosen = match kind {
            0..=19 => Some(index.get(&all).clone()),
            20..=27 => legal(&state, &all, index, |_| true),
            28..=59 => legal(&state, &all, index, keeps_going),
            _ => legal(&state, &all, index, is_progress).or_else(|| legal(&state, &all, index, keeps_going)),
        };
        let Some(entry) = chosen.or_else(|| legal(&state, &all, index, |_| true)) else { break };
        let before = state.clone();
        match state.clone().next(&entry) {
            Ok(next) => {
                let accepted = model.accept(&plan, &entry);
                prop_assert!(accepted.is_ok(), "{accepted:?} after {journal:#?} then {entry:#?}");
                state = next;
                journal.push(entry);
            }
            Err(_) => prop_assert_eq!(&state, &before),
        }
    }
    let replayed = State::replay(&journal);
    prop_assert_eq!(replayed.as_ref(), Ok(&state), "a replay stands elsewhere");
    Ok(state)
}

/// What a healthy run writes: it lets walks reach the later stages and the end.
fn is_progress(entry: &Entry) -> bool {
    match entry {
        Entry::Ended { ended, .. } => ended.end == End::Done,
        Entry::Intended { key, .. } => key.unit == 0 || key.phase == Phase::Undo,
        Entry::StageFinished { .. }
        | Entry::Concluded { .. }
        | Entry::Undone { .. }
        | Entry::Finished { .. } => true,
        Entry::Read { key, .. } => key.phase == Phase::Capture,
        Entry::Started { .. } => true,
        _ => false,
    }
}

fn cases() -> u32 {
    if std::env::var_os("FLOW_LONG").is_some() { 100_000 } else { 1_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_skips_a_stage_undoes_twice_or_goes_on_past_its_end(
        choices in proptest::collection::vec((any::<u8>(), any::<Index>()), 1..160),
        irreversible in any::<bool>(),
    ) {
        walk(&choices, irreversible)?;
    }
}

/// Walks that never end well or never turn back would prove nothing.
#[test]
fn the_walks_reach_every_kind_of_end() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let choices = proptest::collection::vec((any::<u8>(), any::<Index>()), 160..400);
    let mut reached: Vec<Mode> = Vec::new();
    for round in 0..400 {
        let choices = choices.new_tree(&mut runner).unwrap().current();
        let state = walk(&choices, round % 2 == 0).unwrap();
        if let Some(running) = state.running()
            && !reached.contains(&running.mode)
        {
            reached.push(running.mode);
        }
    }
    for mode in [Mode::Completed, Mode::RolledBack, Mode::Closed] {
        assert!(reached.contains(&mode), "{mode:?} is not among {reached:?}");
    }
}

#[test]
fn a_rejection_after_an_attempt_that_a_crash_lost_is_no_rejection() {
    let plan = plan(false);
    let (stage, item) = plan.items().next().unwrap();
    let key = |phase| key(stage, &item.name, phase, 0);
    let started =
        candidates(&State::Fresh, &plan).into_iter().find(|entry| matches!(entry, Entry::Started { .. }));
    let intended = |attempt| Entry::Intended { key: key(Phase::Do), attempt };
    let lost = State::replay(&[
        started.unwrap(),
        Entry::Read { key: key(Phase::Capture), recorded: Recorded::default() },
        intended(1),
        Entry::OwnerChanged { owner: "the next one".to_owned(), fence: Fence(2) },
        intended(2),
    ])
    .unwrap();
    let end = |end| lost.clone().next(&Entry::Ended { key: key(Phase::Do), ended: ended(end) });
    assert!(end(End::Rejected).is_err(), "nobody knows what the lost attempt left");
    assert!(end(End::InDoubt).is_ok());
}
