use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::environment::Environment;
use crate::journal::Record;
use crate::name::{Actor, Digest, Name};
use crate::plan::OnFailure;
use crate::report::{
    Anomaly, Decision, Declared, Failure, GateReport, Language, Lessons, Notice, RollbackReport, StageReport,
    Suggestion, build, markdown,
};

/// The version of the shape of [`Document`]. It grows when a field changes its meaning or goes away; a new field alone
/// does not change it.
pub const FORMAT: u32 = 1;

/// What a run did, from its journal alone.
///
/// ```
/// use flow_core::report::{Report, ReportOutcome};
///
/// let report = Report::of(Vec::new());
/// assert_eq!(report.outcome(), ReportOutcome::Running);
/// assert!(report.to_markdown().contains("Nothing is recorded"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    records: Vec<Record>,
    document: Document,
}

impl Report {
    /// The report of the run with these records, as [`read`](crate::journal::read) returns them.
    ///
    /// A history that the machine refuses still gives a report: of everything up to the refused record, and of the
    /// refusal.
    #[must_use]
    pub fn of(records: Vec<Record>) -> Self {
        let document = build::document(&records);
        Self { records, document }
    }

    /// The records that it was made from.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Everything that the report says, as data.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// How the run ended, or where it stands.
    #[must_use]
    pub const fn outcome(&self) -> ReportOutcome {
        self.document.outcome
    }

    /// What was deployed, where and by whom; none where the run was never started.
    #[must_use]
    pub const fn run(&self) -> Option<&RunFacts> {
        self.document.run.as_ref()
    }

    /// When it began and ended.
    #[must_use]
    pub const fn times(&self) -> &Times {
        &self.document.times
    }

    /// The hash of the last record; none where there is none.
    #[must_use]
    pub const fn head(&self) -> Option<Digest> {
        self.document.audit.head
    }

    /// The report for people, in English, as GitHub-flavoured Markdown. No text of the journal can break its form.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        self.to_markdown_in(Language::English)
    }

    /// The report for people in `language`, in the same form and from the same data.
    ///
    /// ```
    /// use flow_core::report::{Language, Report};
    ///
    /// let report = Report::of(Vec::new());
    /// assert!(report.to_markdown_in(Language::Chinese).contains("## 1. 部署需求分析和环境准备：未执行"));
    /// ```
    #[must_use]
    pub fn to_markdown_in(&self, language: Language) -> String {
        markdown::render(&self.document, language.wording())
    }

    /// The report for programs: a [`Document`], which reads it back.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Every map of a document has text for keys and every number is finite, so it always has a JSON form.
        serde_json::to_value(&self.document).unwrap_or_default()
    }
}

/// How a run ended, or where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// All eight stages are done.
    Completed,
    /// Everything that was done is undone.
    RolledBack,
    /// It cannot go on by itself: something still stands.
    Parked,
    /// It failed and waits for a decision.
    Held,
    /// Somebody closed it and answers for what still stands.
    Closed,
    /// It is not over, as far as its journal says; it may not have begun.
    Running,
}

/// A whole report as data. Times are in UTC and whole seconds; durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The version of this shape: [`FORMAT`].
    pub format: u32,
    /// How the run ended, or where it stands.
    pub outcome: ReportOutcome,
    /// What was deployed, where and by whom; none where the run was never started.
    pub run: Option<RunFacts>,
    /// When.
    pub times: Times,
    /// The eight stages with their 36 activities, always all of them, in the standard's order.
    pub stages: Vec<StageReport>,
    /// What did not go as planned and how it was handled, oldest first.
    pub anomalies: Vec<Anomaly>,
    /// The eight gates of the standard, always all of them.
    pub gates: Vec<GateReport>,
    /// Why the run failed, if it did.
    pub failure: Option<Failure>,
    /// What was undone, if the run turned back.
    pub rollback: Option<RollbackReport>,
    /// What a failure teaches, if there was one.
    pub lessons: Option<Lessons>,
    /// What people decided while it ran, oldest first.
    pub decisions: Vec<Decision>,
    /// What was declared not applicable, and who answers for it.
    pub declarations: Vec<Declared>,
    /// Notices that were added to the journal.
    pub notices: Vec<Notice>,
    /// What should be done or watched from here on.
    pub suggestions: Vec<Suggestion>,
    /// How the report can be checked.
    pub audit: Audit,
}

/// What was deployed, where and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The application.
    pub application: Name,
    /// The environment.
    pub environment: Environment,
    /// The release.
    pub release: Name,
    /// The artefacts that the plan named.
    pub artifacts: Vec<Digest>,
    /// Who started it.
    pub initiator: Actor,
    /// Who approved the plan.
    pub approvals: Vec<Actor>,
    /// How many approvals the plan needed.
    pub approvals_needed: u32,
    /// The steps that the plan could not undo, with the reason.
    pub irreversible: Vec<(Name, String)>,
    /// What a failure was to do.
    pub on_failure: OnFailure,
    /// How long replaced instances were to be kept.
    pub keep_warm_ms: u64,
    /// The digest that the approvals are bound to.
    pub plan_hash: Digest,
    /// The digest of the definition.
    pub fingerprint: Digest,
    /// Who worked on it, in order.
    pub owners: Vec<String>,
}

/// When a run began and ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The first record.
    pub started: Option<Timestamp>,
    /// The record that ended it; none where it is not over.
    pub ended: Option<Timestamp>,
    /// The last record.
    pub last: Option<Timestamp>,
    /// From the first to the last record.
    pub duration_ms: u64,
}

/// How the report can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// How many records there are.
    pub records: u64,
    /// The chained hash of the last one.
    pub head: Option<Digest>,
    /// The record that cannot follow the ones before it, if there is one: nothing from it on is in this report.
    pub refused: Option<Refusal>,
}

/// A record that the machine refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its number.
    pub seq: u64,
    /// Why.
    pub reason: String,
}
