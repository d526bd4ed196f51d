//! The suite for steps: passed by the fake step and by a careful one, and broken promise by promise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flow_core::prelude::*;
use flow_core::stage::{Migrate, MigrateActivity};
use flow_testkit::conformance::step::StepFixture;
use flow_testkit::context;
use flow_testkit::fake::FakeStep;
use flow_testkit::fault::{At, Fault};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod fake {
    use super::*;

    pub(super) struct Fake(FakeStep<Migrate>);

    #[async_trait]
    impl StepFixture for Fake {
        type Stage = Migrate;

        fn step(&self) -> Arc<dyn Step<Migrate>> {
            let step = FakeStep::<Migrate>::in_ledger(name!("migrate"), self.0.ledger());
            Arc::new(step.sealing("s3cret").taking(Duration::from_secs(90)))
        }

        fn context(&self) -> StepContext<Migrate> {
            context()
        }

        async fn seen(&self) -> String {
            assert_eq!(
                self.0.ledger().refusals(),
                [""; 0],
                "the suite does nothing that a strict step refuses"
            );
            format!("{:?}", self.0.stands())
        }

        async fn break_at(&self, nth: usize) -> Option<()> {
            let fault = [Fault::HalfDone, Fault::InDoubt].get(nth - 1).copied();
            for (point, fault) in ["step.run", "step.roll_back"].into_iter().zip(fault.into_iter().cycle()) {
                self.0.ledger().faults().inject(At::call(point), fault);
            }
            Some(())
        }

        async fn mend(&self) -> bool {
            self.0.ledger().faults().withdraw() == 1
        }

        async fn forbid(&self) -> Option<&'static str> {
            self.0.ledger().faults().inject(At::call("step.run"), Fault::Refused(ErrorKind::Denied));
            Some("the right to migrate is missing")
        }

        fn secrets(&self) -> Vec<String> {
            vec!["s3cret".to_owned()]
        }
    }

    async fn fresh() -> Fake {
        Fake(FakeStep::new(name!("migrate")))
    }

    flow_testkit::step_conformance!(fresh);
}

/// How the step that labels two shelves breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    DefinitionChanges,
    CoversTwice,
    SealsUndeclared,
    PreviewWrites,
    CaptureWrites,
    RemembersInMemory,
    ShowsSecret,
    NoEvidence,
    Appends,
    RefusesLate,
    Deaf,
    SleepsByItself,
    UndoForgetsOne,
    UndoToggles,
    UndoOnlyWhenFinished,
    UndoDeletes,
    DoneOnceForAll,
    RejectsWhatStands,
    UndoOnlyWhole,
    TakesHalfForAll,
    SilentUndo,
    LeavesTemporary,
}

#[derive(Debug, Default)]
struct Shelves {
    labels: BTreeMap<&'static str, String>,
    changes: usize,
    breaks_at: Option<usize>,
    broke: bool,
    forbidden: bool,
    done: bool,
    restored: bool,
}

#[derive(Clone)]
struct World(Arc<Mutex<Shelves>>);

impl World {
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap()
    }

    fn put(&self, shelf: &'static str, label: Option<&str>) -> Result<(), StepError> {
        let mut shelves = self.shelves();
        if shelves.labels.get(shelf).map(String::as_str) == label {
            return Ok(());
        }
        match label {
            Some(label) => drop(shelves.labels.insert(shelf, label.to_owned())),
            None => drop(shelves.labels.remove(shelf)),
        }
        shelves.changes += 1;
        shelves.breaks_at = shelves.breaks_at.and_then(|left| left.checked_sub(1));
        if shelves.breaks_at == Some(0) {
            (shelves.breaks_at, shelves.broke) = (None, true);
            return Err(StepError::in_doubt("the connection broke"));
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize, Clone)]
struct Old {
    a: Option<String>,
    b: Option<String>,
}

/// Puts the release's name on shelf `a`, waits, and puts it on shelf `b`.
struct Label {
    world: World,
    breaks: Break,
    memory: Mutex<Option<Old>>,
}

impl Label {
    fn old(&self) -> Old {
        let shelves = self.world.shelves();
        Old { a: shelves.labels.get("a").cloned(), b: shelves.labels.get("b").cloned() }
    }

    fn is(&self, breaks: Break) -> bool {
        self.breaks == breaks
    }

    async fn label(&self, cx: &StepContext<Migrate>, permit: &Permit) -> Result<(), StepError> {
        let label = cx.release().to_string();
        let label = match self.world.shelves().labels.get("a") {
            Some(old) if self.is(Break::Appends) => format!("{old} {label}"),
            _ => label,
        };
        if self.is(Break::TakesHalfForAll) && self.world.shelves().labels.get("a") == Some(&label) {
            return Ok(());
        }
        self.world.put("a", Some(&label))?;
        if self.is(Break::RefusesLate) && self.world.shelves().forbidden {
            return Err(StepError::new(ErrorKind::Denied, "no right to shelf `b`"));
        }
        if self.is(Break::LeavesTemporary) {
            self.world.put("tmp", Some("half"))?;
        }
        if self.is(Break::SleepsByItself) {
            tokio::time::sleep(Duration::from_millis(2_100)).await;
        }
        cx.clock().sleep(Duration::from_secs(60)).await;
        if permit.cancel().is_cancelled() {
            if self.is(Break::Deaf) {
                std::future::pending::<()>().await;
            }
            return Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"));
        }
        self.world.put("tmp", None)?;
        self.world.put("b", Some(&label))
    }
}

#[async_trait]
impl Rollback<Migrate> for Label {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _: &StepContext<Migrate>) -> Result<Captured, StepError> {
        if self.is(Break::CaptureWrites) {
            self.world.put("lock", Some("mine"))?;
        }
        *self.memory.lock().unwrap() = Some(self.old());
        let shown = if self.is(Break::RemembersInMemory) { json!(null) } else { json!(self.old()) };
        Captured::of(&shown)?.sealed(&"s3cret")
    }

    async fn roll_back(
        &self,
        cx: &StepContext<Migrate>,
        _: &Permit,
        before: &Captured,
        outcome: &Outcome<Migrate>,
    ) -> Result<(), StepError> {
        assert_eq!(before.get_sealed::<String>()?, "s3cret");
        let old = match self.breaks {
            Break::RemembersInMemory => self.memory.lock().unwrap().clone().unwrap_or_else(|| self.old()),
            _ => before.get::<Old>()?,
        };
        let (in_doubt, now) = (matches!(outcome, Outcome::InDoubt(_)), self.old());
        let whole = now.a.as_deref() == Some(cx.release().as_str()) && now.a == now.b;
        match self.breaks {
            Break::UndoOnlyWhenFinished if in_doubt => return Ok(()),
            Break::UndoOnlyWhole if !whole => return Ok(()),
            Break::UndoDeletes if in_doubt && now.a == old.a => return self.world.put("a", None),
            Break::UndoToggles if std::mem::replace(&mut self.world.shelves().restored, true) => {
                return self.world.put("a", Some(cx.release().as_str()));
            }
            _ => {}
        }
        if !self.is(Break::LeavesTemporary) {
            self.world.put("tmp", None)?;
        }
        if !self.is(Break::UndoForgetsOne) {
            let put = self.world.put("b", old.b.as_deref());
            if !self.is(Break::SilentUndo) {
                put?;
            }
        }
        self.world.put("a", old.a.as_deref())
    }
}

#[async_trait]
impl Step<Migrate> for Label {
    fn name(&self) -> Name {
        name!("label")
    }

    fn covers(&self) -> Vec<MigrateActivity> {
        let twice = if self.is(Break::CoversTwice) { 2 } else { 1 };
        vec![MigrateActivity::Apply; twice]
    }

    fn definition(&self) -> Value {
        match self.breaks {
            Break::DefinitionChanges => json!(self.world.shelves().changes),
            Break::ShowsSecret => json!({ "token": "s3cret" }),
            _ => json!({ "shelves": ["a", "b"] }),
        }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn seals(&self) -> bool {
        !self.is(Break::SealsUndeclared)
    }

    async fn preview(&self, cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        if self.is(Break::PreviewWrites) {
            self.world.put("asked", Some("yes"))?;
        }
        Ok(Preview::new().change("shelves", format!("{:?}", self.old().a), cx.release().as_str()))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        permit: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        if self.world.shelves().forbidden && !self.is(Break::RefusesLate) {
            return Err(StepError::new(ErrorKind::Denied, "no right to the shelves"));
        }
        let done = self.world.shelves().done;
        if !(done && self.is(Break::DoneOnceForAll)) {
            self.label(cx, permit).await.map_err(|error| match self.breaks {
                Break::RejectsWhatStands => StepError::new(ErrorKind::Unavailable, "no answer"),
                _ => error,
            })?;
        }
        self.world.shelves().done = true;
        let receipt = Receipt::new();
        Ok(if self.is(Break::NoEvidence) {
            receipt
        } else {
            receipt.evidence(MigrateActivity::Apply, "seen")
        })
    }
}

struct Labelling {
    world: World,
    breaks: Break,
}

#[async_trait]
impl StepFixture for Labelling {
    type Stage = Migrate;

    fn step(&self) -> Arc<dyn Step<Migrate>> {
        Arc::new(Label { world: self.world.clone(), breaks: self.breaks, memory: Mutex::default() })
    }

    fn context(&self) -> StepContext<Migrate> {
        context()
    }

    async fn seen(&self) -> String {
        format!("{:?}", self.world.shelves().labels)
    }

    async fn changes(&self) -> Option<usize> {
        Some(self.world.shelves().changes)
    }

    async fn break_at(&self, nth: usize) -> Option<()> {
        let mut shelves = self.world.shelves();
        (shelves.breaks_at, shelves.broke) = (Some(nth), false);
        Some(())
    }

    async fn mend(&self) -> bool {
        let mut shelves = self.world.shelves();
        shelves.breaks_at = None;
        shelves.broke
    }

    async fn forbid(&self) -> Option<&'static str> {
        self.world.shelves().forbidden = true;
        Some("the right to label is missing")
    }

    fn secrets(&self) -> Vec<String> {
        vec!["s3cret".to_owned()]
    }
}

fn labelling(breaks: Break) -> Labelling {
    let shelves = Shelves { labels: [("a", "old".to_owned())].into(), ..Shelves::default() };
    Labelling { world: World(Arc::new(Mutex::new(shelves))), breaks }
}

mod careful {
    use super::*;

    async fn fresh() -> Labelling {
        labelling(Break::Nothing)
    }

    flow_testkit::step_conformance!(fresh);
}

#[tokio::test]
async fn one_world_can_be_put_through_every_promise() {
    flow_testkit::conformance::step::every_promise(&labelling(Break::Nothing)).await.unwrap();
}

mod broken {
    use super::*;

    macro_rules! by {
        ($break:ident) => {
            async || labelling(Break::$break)
        };
    }

    flow_testkit::broken_implementations! { step_conformance, step:
        outline::what_it_says_of_itself_stays_the_same => by!(DefinitionChanges),
        outline::it_covers_activities_each_of_them_once => by!(CoversTwice),
        outline::it_declares_whether_it_seals => by!(SealsUndeclared),
        reading::preview_changes_nothing => by!(PreviewWrites),
        reading::capture_changes_nothing => by!(CaptureWrites),
        reading::captured_state_is_enough_for_another_process => by!(RemembersInMemory),
        reading::secrets_reach_nothing_but_the_sealed_part => by!(ShowsSecret),
        attempts::the_receipt_has_evidence_for_everything_it_covers => by!(NoEvidence),
        attempts::run_twice_is_once => by!(Appends),
        attempts::a_refusal_leaves_nothing_behind => by!(RefusesLate),
        attempts::a_cancelled_run_ends_and_can_be_undone => by!(Deaf),
        attempts::it_waits_through_the_clock_only => by!(SleepsByItself),
        undo::undone_after_it_finished_the_world_is_as_before => by!(UndoForgetsOne),
        undo::undone_twice_is_once => by!(UndoToggles),
        undo::undone_without_knowing_how_it_ended_the_world_is_as_before => by!(UndoOnlyWhenFinished),
        undo::undoing_what_never_ran_changes_nothing => by!(UndoDeletes),
        undo::done_again_after_its_undo_it_is_done => by!(DoneOnceForAll),
        halves::a_change_without_an_answer_is_in_doubt => by!(RejectsWhatStands),
        halves::undone_from_every_half_way_point_the_world_is_as_before => by!(UndoOnlyWhole),
        halves::the_next_attempt_finishes_what_broke_half_way => by!(TakesHalfForAll),
        halves::a_broken_undo_says_so_and_the_next_attempt_finishes_it => by!(SilentUndo),
        halves::undone_after_it_died_where_it_waited_the_world_is_as_before => by!(LeavesTemporary),
    }
}
