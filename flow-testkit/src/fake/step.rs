use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::gate::{Figure, StandardGate};
use flow_core::policy::Proof;
use flow_core::stage::{Activity as _, Stage};
use flow_core::{
    Captured, ErrorKind, Name, Outcome, Permit, Preview, Receipt, Reversibility, Rollback, Step, StepContext,
    StepError,
};
use serde::{Deserialize, Serialize};

use crate::ledger::{Change, Ledger};

/// A step for any stage whose effect is one value: running it puts the release in place of what stood before.
///
/// Its effect has two halves, so [`HalfDone`](crate::fault::Fault::HalfDone) and a crash
/// [inside](crate::fault::Moment::Inside) leave something half-way. It goes wrong by faults at `step.preview`, `step.capture`,
/// `step.run` and `step.roll_back` about its name.
///
/// What it did and what it was told is kept in the [`Ledger`], so that the step which a resumed process builds anew still knows.
/// Stricter than any real step could be, it refuses
/// - to be captured once its run has begun: a half-changed world;
/// - a run or an undo with captured state that it never gave, was given to another run, or came back otherwise (sealed part
///   included);
/// - another attempt with another captured state, or under another idempotency key, even after its undo;
/// - an undo under the key of the run, one that is told of a receipt that it never gave, and any at all where it is irreversible.
///
/// ```
/// use flow_core::stage::Migrate;
/// use flow_core::{Rollback, Step, StepContext, name};
/// use flow_testkit::fake::FakeStep;
/// use flow_testkit::{context, permit};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let step = FakeStep::<Migrate>::new(name!("migrate"));
/// let cx = context();
/// let before = step.capture(&cx).await?;
/// step.run(&cx, &permit(), &before).await?;
/// assert_eq!(step.stands().as_deref(), Some("1.0.0"));
/// assert!(step.capture(&cx).await.is_err(), "its run has begun");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FakeStep<S: Stage> {
    name: Name,
    covers: Vec<S::Activity>,
    reversibility: Reversibility,
    facts: S::Facts,
    figures: Vec<Figure>,
    proofs: Vec<Proof>,
    secret: Option<Secret>,
    takes: Duration,
    deadline: Duration,
    ledger: Ledger,
}

/// What is sealed, and shown nowhere.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What an undo was told of the run before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That it finished.
    Finished,
    /// That nobody knows.
    InDoubt,
}

/// What every fake step of a world did, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scripts(Arc<Mutex<BTreeMap<Name, Script>>>);

#[derive(Debug, Default)]
struct Script {
    stands: Option<String>,
    captured: u64,
    runs: BTreeMap<String, Seen>,
    told: Option<Told>,
}

/// What a step saw of one run.
#[derive(Debug, Default)]
struct Seen {
    given: Vec<Before>,
    /// The key and the captured state of the first attempt.
    begun: Option<(String, Before)>,
    finished: bool,
}

/// The captured state: what stood before, and which capture it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    step: Name,
    run: String,
    capture: u64,
    stood: Option<String>,
}

impl<S: Stage> FakeStep<S> {
    /// A step in a world of its own. It covers its whole stage, takes no time and is restored exactly.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self::in_ledger(name, &Ledger::new())
    }

    /// The same, in a world that it shares.
    #[must_use]
    pub fn in_ledger(name: Name, ledger: &Ledger) -> Self {
        Self {
            name,
            covers: S::Activity::ALL.to_vec(),
            reversibility: Reversibility::Reversible,
            facts: S::Facts::default(),
            figures: Vec::new(),
            proofs: Vec::new(),
            secret: None,
            takes: Duration::ZERO,
            deadline: Duration::from_mins(10),
            ledger: ledger.clone(),
        }
    }

    /// Covers these activities only.
    #[must_use]
    pub fn covering(mut self, activities: impl IntoIterator<Item = S::Activity>) -> Self {
        self.covers = activities.into_iter().collect();
        self
    }

    /// Hands these facts to later stages.
    #[must_use]
    pub fn giving(mut self, facts: S::Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Measures this for the quality gates.
    #[must_use]
    pub fn measuring(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// Proves this for the policy.
    #[must_use]
    pub fn proving(mut self, proofs: impl IntoIterator<Item = Proof>) -> Self {
        self.proofs.extend(proofs);
        self
    }

    /// Declares another way back than an exact one.
    #[must_use]
    pub fn declaring(mut self, reversibility: Reversibility) -> Self {
        self.reversibility = reversibility;
        self
    }

    /// Seals `secret` with what it captures, and expects it back.
    #[must_use]
    pub fn sealing(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(Secret(secret.into()));
        self
    }

    /// Waits this long, by the run's clock, before it changes anything; stops where it is cancelled meanwhile.
    #[must_use]
    pub const fn taking(mut self, duration: Duration) -> Self {
        self.takes = duration;
        self
    }

    /// Has this long for one attempt: ten minutes unless set.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The ledger that it writes into.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What stands: the release that ran last, `half of` it where it came only half-way, or nothing.
    #[must_use]
    pub fn stands(&self) -> Option<String> {
        self.scripts().get(&self.name).and_then(|script| script.stands.clone())
    }

    /// What the latest undo was told, if there was one.
    #[must_use]
    pub fn told(&self) -> Option<Told> {
        self.scripts().get(&self.name).and_then(|script| script.told)
    }

    fn scripts(&self) -> MutexGuard<'_, BTreeMap<Name, Script>> {
        self.ledger.scripts().0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(self.scripts().entry(self.name.clone()).or_default())
    }

    fn receipt(&self) -> Receipt<S> {
        let receipt = Receipt { facts: self.facts.clone(), figures: self.figures.clone(), ..Receipt::new() };
        let seen = |receipt: Receipt<S>, activity: &S::Activity| {
            let shown = format!("`{}` stands for {}", self.name, activity.name());
            receipt.evidence(*activity, shown)
        };
        let evident = self.covers.iter().fold(receipt, seen);
        self.proofs.iter().copied().fold(evident, Receipt::proved)
    }

    /// Holds a call to what this step gave in its run.
    fn admit(&self, cx: &StepContext<S>, before: &Captured, call: &str) -> Result<Before, StepError> {
        let refuse = |why: &str| self.ledger.refuse(format!("`{}` {call} {why}", self.name));
        let given: Before = before.get().map_err(|_| refuse("without the state that it captured"))?;
        if given.step != self.name {
            return Err(refuse("with the state that another step captured"));
        }
        let known =
            self.on(|script| script.runs.get(&run_of(cx)).is_some_and(|run| run.given.contains(&given)));
        if !known {
            return Err(refuse("with captured state that it never gave in this run"));
        }
        if before.get_sealed::<String>().ok() != self.secret.as_ref().map(|secret| secret.0.clone()) {
            return Err(refuse("with a sealed part that is not the one it gave"));
        }
        Ok(given)
    }

    /// Holds a run to the attempts before it.
    fn begin(&self, cx: &StepContext<S>, permit: &Permit, given: &Before) -> Result<(), StepError> {
        let key = permit.idempotency_key();
        let begun = self.on(|script| {
            let seen = script.runs.entry(run_of(cx)).or_default();
            seen.begun.get_or_insert_with(|| (key.to_owned(), given.clone())).clone()
        });
        let refuse = |why: String| Err(self.ledger.refuse(format!("`{}` runs {why}", self.name)));
        match begun {
            (first, _) if first != key => refuse(format!("under `{key}` after it ran under `{first}`")),
            (_, first) if first != *given => refuse("with another captured state than before".to_owned()),
            _ => Ok(()),
        }
    }

    /// Holds an undo to what this step did.
    fn admit_undo(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        outcome: &Outcome<S>,
    ) -> Result<(), StepError> {
        let refuse = |why: &str| Err(self.ledger.refuse(format!("`{}` is undone {why}", self.name)));
        if let Reversibility::Irreversible { .. } = self.reversibility {
            return refuse("though it is irreversible");
        }
        let (begun, finished) = self.on(|script| {
            let seen = script.runs.get(&run_of(cx));
            let key = seen.and_then(|seen| seen.begun.as_ref().map(|(key, _)| key.clone()));
            (key, seen.is_some_and(|seen| seen.finished))
        });
        if begun.as_deref() == Some(permit.idempotency_key()) {
            return refuse("under the key of its run");
        }
        match outcome {
            Outcome::Finished(receipt) if !finished || *receipt != self.receipt() => {
                refuse("with a receipt that it never gave")
            }
            _ => Ok(()),
        }
    }

    /// Waits by the clock, unless it is cancelled.
    async fn wait(&self, cx: &StepContext<S>, permit: &Permit) -> Result<(), StepError> {
        let stopped = || StepError::new(ErrorKind::Cancelled, "stopped before it changed anything");
        if permit.cancel().is_cancelled() {
            return Err(stopped());
        }
        if self.takes.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = permit.cancel().cancelled() => Err(stopped()),
            () = cx.clock().sleep(self.takes) => Ok(()),
        }
    }
}

/// A context outside a run, as that of a plan, counts as one of its own.
fn run_of<S: Stage>(cx: &StepContext<S>) -> String {
    cx.run().map(ToString::to_string).unwrap_or_default()
}

#[async_trait]
impl<S: Stage> Rollback<S> for FakeStep<S> {
    fn reversibility(&self) -> Reversibility {
        self.reversibility.clone()
    }

    async fn capture(&self, cx: &StepContext<S>) -> Result<Captured, StepError> {
        let look = || {
            let given = self.on(|script| {
                let stood = script.stands.clone();
                script.captured += 1;
                let (capture, run) = (script.captured, run_of(cx));
                let seen = script.runs.entry(run.clone()).or_default();
                let given = Before { step: self.name.clone(), run, capture, stood };
                seen.given.push(given.clone());
                seen.begun.is_none().then_some(given)
            });
            let late = || self.ledger.refuse(format!("`{}` is captured after its run had begun", self.name));
            let captured = Captured::of(&given.ok_or_else(late)?)?;
            self.secret.as_ref().map_or(Ok(captured.clone()), |secret| captured.sealed(&secret.0))
        };
        self.ledger.read("step.capture", &self.name, look).await
    }

    async fn roll_back(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
        outcome: &Outcome<S>,
    ) -> Result<(), StepError> {
        let change = Change::new("step.roll_back", &self.name, permit).of(format_args!("step {}", self.name));
        let mut given = None;
        self.ledger
            .change_in_parts(change, 2, |part| {
                let given = match &given {
                    Some(given) => given,
                    None => {
                        self.admit_undo(cx, permit, outcome)?;
                        &*given.insert(self.admit(cx, before, "is undone")?)
                    }
                };
                self.on(|script| {
                    let told =
                        if matches!(outcome, Outcome::Finished(_)) { Told::Finished } else { Told::InDoubt };
                    script.told = Some(told);
                    if script.stands != given.stood {
                        let half = format!("half of {}", given.stood.as_deref().unwrap_or("nothing"));
                        script.stands = if part == 0 { Some(half) } else { given.stood.clone() };
                    }
                });
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl<S: Stage> Step<S> for FakeStep<S> {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn covers(&self) -> Vec<S::Activity> {
        self.covers.clone()
    }

    fn proves(&self) -> Vec<Proof> {
        let evident = self.covers.iter().filter_map(|activity| Proof::of_evidence(&activity.name()));
        evident.chain(self.proofs.iter().copied()).collect()
    }

    fn measures(&self) -> Vec<StandardGate> {
        self.figures.iter().map(|figure| figure.gate).collect()
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn seals(&self) -> bool {
        self.secret.is_some()
    }

    async fn preview(&self, cx: &StepContext<S>) -> Result<Preview, StepError> {
        let look = || {
            let stands = self.stands().unwrap_or_else(|| "nothing".to_owned());
            Ok(Preview::new().change(self.name.as_str(), stands, cx.release().as_str()))
        };
        self.ledger.read("step.preview", &self.name, look).await
    }

    async fn run(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<S>, StepError> {
        self.wait(cx, permit).await?;
        let change = Change::new("step.run", &self.name, permit).of(format_args!("step {}", self.name));
        let mut admitted = false;
        self.ledger
            .change_in_parts(change, 2, |part| {
                if !admitted {
                    let given = self.admit(cx, before, "runs")?;
                    self.begin(cx, permit, &given)?;
                    admitted = true;
                }
                self.on(|script| {
                    let whole = Some(cx.release().to_string());
                    if script.stands != whole {
                        script.stands =
                            if part == 0 { Some(format!("half of {}", cx.release())) } else { whole };
                    }
                    script.runs.entry(run_of(cx)).or_default().finished |= part == 1;
                });
                Ok(())
            })
            .await?;
        Ok(self.receipt())
    }
}
