/// A section of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Heading {
    Overview,
    Anomalies,
    Gates,
    Rollback,
    Lessons,
    Response,
    Checks,
    People,
    Declarations,
    Decisions,
    Notices,
    Maintenance,
    Audit,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Column {
    Activity,
    At,
    Attempts,
    Began,
    By,
    Ended,
    Evidence,
    Fact,
    Gate,
    Handled,
    How,
    Limit,
    Move,
    Number,
    Reason,
    Stage,
    State,
    Status,
    Step,
    Steps,
    Took,
    Undo,
    Value,
    What,
}

/// A fact about the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Fact {
    Application,
    Approvals,
    Artifacts,
    Cause,
    Chain,
    Duration,
    Ended,
    Environment,
    Fingerprint,
    Head,
    Initiator,
    Irreversible,
    KeepWarm,
    LastRecord,
    OnFailure,
    Owners,
    PlanHash,
    Records,
    Release,
    Started,
}

/// A fixed remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Note {
    NoAnomalies,
    NoDeclarations,
    NoDecisions,
    NoEvidence,
    NoRollback,
    NoSteps,
    NoSuggestions,
    NoneGiven,
    NothingFailed,
    NothingToUndo,
    NotHandled,
    Standing,
}
