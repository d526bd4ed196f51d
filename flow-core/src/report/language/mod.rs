//! Everything that a report says in words. The data is in the document and its form in the renderer, so a translation
//! is one more implementor of [`Wording`].

mod chinese;
mod choice;
mod english;
mod label;

pub use choice::Language;
pub(super) use label::{Column, Fact, Heading, Note};

use chinese::Chinese;
use english::English;

use crate::environment::Environment;
use crate::error::Cause;
use crate::gate::StandardGate;
use crate::journal::{End, Standing};
use crate::name::Name;
use crate::plan::{Declaration, OnFailure};
use crate::report::{
    AnomalyKind, Check, DecisionKind, Document, Emergency, EmergencyState, Failure, GateVerdict, Handling,
    MoveMade, RollbackReport, Status, Suggestion, TargetEnd,
};
use crate::rollback::Reversibility;
use crate::stage::{ActivityName, StageName};

/// The words and the punctuation of one language. Every text is plain: whoever renders it escapes it, so a text may quote anything from the
/// journal, with names in backticks.
pub(super) trait Wording {
    /// A name and what it stands for.
    fn named(&self, name: &str, value: &str) -> String;
    /// Several things, one after the other.
    fn listed(&self, items: &[String]) -> String;
    /// Several statements, one after the other.
    fn clauses(&self, clauses: &[String]) -> String;
    /// A text and something less important behind it.
    fn remark(&self, text: &str, remark: &str) -> String;

    /// The heading of a section.
    fn heading(&self, heading: Heading) -> &'static str;
    /// The heading of a column.
    fn column(&self, column: Column) -> &'static str;
    /// The name of a fact about the run.
    fn fact(&self, fact: Fact) -> &'static str;
    /// A fixed remark.
    fn note(&self, note: Note) -> &'static str;

    /// The title of the whole report.
    fn title(&self, document: &Document) -> String;
    /// How the run ended, in a sentence or two.
    fn outcome(&self, document: &Document) -> String;
    /// The title of a stage's section.
    fn section(&self, number: u8, stage: StageName, status: Status) -> String;
    /// A stage.
    fn stage(&self, stage: StageName) -> &'static str;
    /// An activity, without its stage.
    fn activity(&self, activity: &ActivityName) -> String;
    /// How far something came.
    fn status(&self, status: Status) -> &'static str;
    /// An environment.
    fn environment(&self, environment: Environment) -> &'static str;
    /// What a failure was to do.
    fn on_failure(&self, on_failure: OnFailure) -> &'static str;
    /// Who approved, of how many that were needed.
    fn approvals(&self, given: &str, needed: u32) -> String;
    /// How a call ended.
    fn end(&self, end: Option<End>) -> &'static str;
    /// Why something failed, with its facts and the causes below it.
    fn cause(&self, cause: &Cause) -> String;
    /// A rollout and its strategy.
    fn rollout(&self, step: &Name, strategy: &Name) -> String;
    /// How a step can be undone.
    fn reversibility(&self, reversibility: &Reversibility) -> String;
    /// Why something is left out, and who answers for it.
    fn declaration(&self, declaration: &Declaration) -> String;
    /// A length of time.
    fn duration(&self, milliseconds: u64) -> String;

    /// A move of a rollout.
    fn made(&self, made: &MoveMade) -> String;
    /// Something that did not go as planned.
    fn anomaly(&self, anomaly: &AnomalyKind) -> String;
    /// How that was handled.
    fn handling(&self, handling: &Handling) -> String;
    /// What somebody decided.
    fn decision(&self, decision: &DecisionKind) -> String;

    /// A gate.
    fn gate(&self, gate: StandardGate) -> &'static str;
    /// The limit of a gate, with its unit.
    fn limit(&self, gate: StandardGate) -> String;
    /// Whether a gate was kept.
    fn verdict(&self, verdict: GateVerdict) -> &'static str;

    /// Where and why the run failed.
    fn failure(&self, failure: &Failure) -> String;
    /// How long a rollback took, or has taken so far.
    fn took(&self, rollback: &RollbackReport) -> String;
    /// How far an undo came.
    fn undone(&self, end: &TargetEnd) -> String;
    /// Something that still stands.
    fn standing(&self, standing: &Standing) -> String;

    /// A step of the standard's response to a failed deployment.
    fn emergency(&self, step: Emergency) -> &'static str;
    /// How far it came.
    fn emergency_state(&self, state: EmergencyState) -> &'static str;
    /// Something to check before the next attempt.
    fn check(&self, check: &Check) -> String;
    /// Something to do or to watch.
    fn suggestion(&self, suggestion: &Suggestion) -> String;

    /// Why a record is refused.
    fn refused(&self, document: &Document) -> Option<String>;
    /// How the report can be checked against its journal.
    fn verify(&self, document: &Document) -> Vec<String>;
}
