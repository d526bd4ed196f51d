use crate::gate::{StandardGate, Verdict};
use crate::journal::End;
use crate::plan::OnFailure;
use crate::report::{GateVerdict, Status};
use crate::stage::StageName;

pub(super) const fn stage(stage: StageName) -> &'static str {
    match stage {
        StageName::Prepare => "Prepare",
        StageName::Build => "Build",
        StageName::Migrate => "Migrate",
        StageName::Assets => "Assets",
        StageName::Services => "Services",
        StageName::Functions => "Functions",
        StageName::Monitoring => "Monitoring",
        StageName::Verify => "Verify",
    }
}

pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::NotApplicable => "not applicable",
        Status::Done => "done",
        Status::NotReached => "not reached",
        Status::NotCovered => "not covered",
        Status::Undone => "undone",
        Status::Resolved => "resolved by hand",
        Status::UnderWay => "under way",
        Status::Standing => "still stands",
        Status::InDoubt => "in doubt",
        Status::Failed => "failed",
    }
}

pub(super) const fn on_failure(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::RollBack => "roll back",
        OnFailure::Hold => "hold and wait for a decision",
    }
}

pub(super) const fn end(end: Option<End>) -> &'static str {
    match end {
        None => "under way",
        Some(End::Done) => "done",
        Some(End::Rejected) => "failed and left nothing behind",
        Some(End::Cancelled) => "cancelled",
        Some(End::InDoubt) => "in doubt",
    }
}

pub(super) const fn gate(gate: StandardGate) -> &'static str {
    match gate {
        StandardGate::Availability => "Availability",
        StandardGate::Downtime => "Downtime of the run",
        StandardGate::KeyFunction => "Key functions",
        StandardGate::ErrorRate => "Error rate",
        StandardGate::PageLoad => "Page load",
        StandardGate::ApiLatency => "API response",
        StandardGate::DatabaseQuery => "Database query",
        StandardGate::ResourceUse => "Resource use",
    }
}

pub(super) fn limit(gate: StandardGate) -> String {
    let side = if gate == StandardGate::Availability { "above" } else { "below" };
    format!("{side} {} {}", gate.limit(), gate.unit())
}

pub(super) const fn verdict(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Kept => "holds",
        GateVerdict::Broken => "BROKEN",
        GateVerdict::NotMeasured => "not measured",
    }
}

pub(super) const fn judged(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "failed",
        Verdict::Insufficient => "had too little evidence",
        Verdict::ProviderError => "could not read its evidence",
    }
}

/// A length of time with the two units that matter.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0) => format!("{milliseconds} ms"),
        (0, 0, seconds) => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}
