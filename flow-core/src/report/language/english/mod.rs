//! English.

mod advice;
mod label;
mod sentence;
mod word;

use super::{Column, Fact, Heading, Note, Wording};
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

/// Reports in English.
#[derive(Debug, Clone, Copy)]
pub(super) struct English;

impl Wording for English {
    fn named(&self, name: &str, value: &str) -> String {
        format!("{name}: {value}")
    }

    fn listed(&self, items: &[String]) -> String {
        items.join(", ")
    }

    fn clauses(&self, clauses: &[String]) -> String {
        clauses.join("; ")
    }

    fn remark(&self, text: &str, remark: &str) -> String {
        format!("{text} ({remark})")
    }

    fn heading(&self, heading: Heading) -> &'static str {
        label::heading(heading)
    }

    fn column(&self, column: Column) -> &'static str {
        label::column(column)
    }

    fn fact(&self, fact: Fact) -> &'static str {
        label::fact(fact)
    }

    fn note(&self, note: Note) -> &'static str {
        label::note(note)
    }

    fn title(&self, document: &Document) -> String {
        sentence::title(document)
    }

    fn outcome(&self, document: &Document) -> String {
        sentence::outcome(document)
    }

    fn section(&self, number: u8, stage: StageName, status: Status) -> String {
        format!("{number}. {}: {}", word::stage(stage), word::status(status))
    }

    fn stage(&self, stage: StageName) -> &'static str {
        word::stage(stage)
    }

    fn activity(&self, activity: &ActivityName) -> String {
        activity.activity.to_string()
    }

    fn status(&self, status: Status) -> &'static str {
        word::status(status)
    }

    fn environment(&self, environment: Environment) -> &'static str {
        environment.as_str()
    }

    fn on_failure(&self, on_failure: OnFailure) -> &'static str {
        word::on_failure(on_failure)
    }

    fn approvals(&self, given: &str, needed: u32) -> String {
        format!("{given} ({needed} needed)")
    }

    fn end(&self, end: Option<End>) -> &'static str {
        word::end(end)
    }

    fn cause(&self, cause: &Cause) -> String {
        cause.to_string()
    }

    fn rollout(&self, step: &Name, strategy: &Name) -> String {
        format!("`{step}` by {strategy}")
    }

    fn reversibility(&self, reversibility: &Reversibility) -> String {
        reversibility.to_string()
    }

    fn declaration(&self, declaration: &Declaration) -> String {
        format!("{} ({} answers for it)", declaration.reason, declaration.by)
    }

    fn duration(&self, milliseconds: u64) -> String {
        word::duration(milliseconds)
    }

    fn made(&self, made: &MoveMade) -> String {
        sentence::made(made)
    }

    fn anomaly(&self, anomaly: &AnomalyKind) -> String {
        sentence::anomaly(anomaly)
    }

    fn handling(&self, handling: &Handling) -> String {
        sentence::handling(handling)
    }

    fn decision(&self, decision: &DecisionKind) -> String {
        sentence::decision(decision)
    }

    fn gate(&self, gate: StandardGate) -> &'static str {
        word::gate(gate)
    }

    fn limit(&self, gate: StandardGate) -> String {
        word::limit(gate)
    }

    fn verdict(&self, verdict: GateVerdict) -> &'static str {
        word::verdict(verdict)
    }

    fn failure(&self, failure: &Failure) -> String {
        sentence::failure(failure)
    }

    fn took(&self, rollback: &RollbackReport) -> String {
        sentence::took(rollback)
    }

    fn undone(&self, end: &TargetEnd) -> String {
        sentence::undone(end)
    }

    fn standing(&self, standing: &Standing) -> String {
        format!("{}: `{}` still stands: {}", standing.stage, standing.step, standing.reason)
    }

    fn emergency(&self, step: Emergency) -> &'static str {
        advice::emergency(step)
    }

    fn emergency_state(&self, state: EmergencyState) -> &'static str {
        advice::emergency_state(state)
    }

    fn check(&self, check: &Check) -> String {
        advice::check(check)
    }

    fn suggestion(&self, suggestion: &Suggestion) -> String {
        advice::suggestion(suggestion)
    }

    fn refused(&self, document: &Document) -> Option<String> {
        let refused = document.audit.refused.as_ref()?;
        Some(format!(
            "Record {} cannot follow the ones before it: {}. Nothing from it on is in this report.",
            refused.seq, refused.reason
        ))
    }

    fn verify(&self, document: &Document) -> Vec<String> {
        advice::verify(document)
    }
}
