//! The report of a run, from its journal alone.
//!
//! [`Report::of`] turns records into a [`Document`]: facts without a word of prose. What people read is made from the
//! document and from one [`Language`], so another language is one more table and nothing else.

mod advice;
mod anomaly;
mod build;
mod language;
mod markdown;
mod model;
mod part;

pub use advice::{Check, Emergency, EmergencyState, EmergencyStep, Lessons, Suggestion};
pub use anomaly::{Anomaly, AnomalyKind, Decision, DecisionKind, Handling};
pub use language::Language;
pub use model::{Audit, Document, FORMAT, Refusal, Report, ReportOutcome, RunFacts, Times};
pub use part::{
    ActivityReport, Declared, Direction, Failure, GateReport, GateVerdict, Measured, MoveMade, MoveReport,
    Notice, Proof, RollbackReport, StageReport, Status, StepReport, TargetEnd, TargetReport,
};
