use super::{Column, Fact, Heading, Note};

pub(super) const fn heading(heading: Heading) -> &'static str {
    match heading {
        Heading::Overview => "Stages",
        Heading::Anomalies => "Anomalies and how they were handled",
        Heading::Gates => "Quality gates",
        Heading::Rollback => "Rollback",
        Heading::Lessons => "Lessons learned",
        Heading::Response => "Response to the failure",
        Heading::Checks => "Before it is deployed again",
        Heading::People => "Approvals and declarations",
        Heading::Declarations => "Declared not applicable",
        Heading::Decisions => "Decisions",
        Heading::Notices => "Notices",
        Heading::Maintenance => "Maintenance",
        Heading::Audit => "Audit",
    }
}

pub(super) const fn column(column: Column) -> &'static str {
    match column {
        Column::Activity => "Activity",
        Column::At => "At",
        Column::Attempts => "Attempts",
        Column::Began => "Began",
        Column::By => "By",
        Column::Ended => "Ended",
        Column::Evidence => "Evidence",
        Column::Fact => "Fact",
        Column::Gate => "Gate",
        Column::Handled => "How it was handled",
        Column::How => "How",
        Column::Limit => "Limit",
        Column::Move => "Move",
        Column::Number => "#",
        Column::Reason => "Reason",
        Column::Stage => "Stage",
        Column::State => "State",
        Column::Status => "Status",
        Column::Step => "Step",
        Column::Steps => "Steps",
        Column::Took => "Took",
        Column::Undo => "Way back",
        Column::Value => "Value",
        Column::What => "What",
    }
}

pub(super) const fn fact(fact: Fact) -> &'static str {
    match fact {
        Fact::Application => "Application",
        Fact::Approvals => "Approved by",
        Fact::Artifacts => "Artefacts",
        Fact::Cause => "Cause",
        Fact::Chain => "Because",
        Fact::Duration => "Duration",
        Fact::Ended => "Ended",
        Fact::Environment => "Environment",
        Fact::Fingerprint => "Fingerprint",
        Fact::Head => "Chain head",
        Fact::Initiator => "Started by",
        Fact::Irreversible => "Without a way back",
        Fact::KeepWarm => "Replaced instances kept for",
        Fact::LastRecord => "Last record",
        Fact::OnFailure => "On a failure",
        Fact::Owners => "Carried out by",
        Fact::PlanHash => "Plan hash",
        Fact::Records => "Records",
        Fact::Release => "Release",
        Fact::Started => "Began",
    }
}

pub(super) const fn note(note: Note) -> &'static str {
    match note {
        Note::NoAnomalies => "No anomaly is recorded.",
        Note::NoDeclarations => "Nothing was declared not applicable.",
        Note::NoDecisions => "No decision is recorded.",
        Note::NoEvidence => "no evidence",
        Note::NoRollback => "No rollback is recorded.",
        Note::NoSteps => "There are no steps here.",
        Note::NoSuggestions => "Nothing follows from this run so far.",
        Note::NoneGiven => "none",
        Note::NothingFailed => "No failure is recorded.",
        Note::NothingToUndo => "Nothing stood that had to be undone.",
        Note::NotHandled => "not yet handled",
        Note::Standing => "Still standing:",
    }
}
