use super::sentence::list;
use super::word;
use crate::error::ErrorKind;
use crate::gate::{StandardGate, Verdict};
use crate::journal::Standing;
use crate::name::Name;
use crate::report::{Check, Declared, Direction, Document, Emergency, EmergencyState, Suggestion};

pub(super) const fn emergency(step: Emergency) -> &'static str {
    match step {
        Emergency::Stop => "Stop the deployment at once",
        Emergency::RollBack => "Roll back",
        Emergency::RootCause => "Find the root cause; its evidence is in this report and in the journal",
        Emergency::Redeploy => "Mend it and deploy again",
        Emergency::Lessons => "Write down the lessons; the facts are below",
    }
}

pub(super) const fn emergency_state(state: EmergencyState) -> &'static str {
    match state {
        EmergencyState::Done => "done",
        EmergencyState::Partly => "partly",
        EmergencyState::Open => "open",
        EmergencyState::NotNeeded => "not needed",
    }
}

pub(super) fn check(check: &Check) -> String {
    match check {
        Check::CauseGone { kind } => cause_gone(*kind).to_owned(),
        Check::InDoubt { call } => {
            format!(
                "`{call}` ended in doubt: look from outside whether it left anything that its undo missed."
            )
        }
        Check::Standing { standing } => format!(
            "`{}` of stage {} still stands ({}): put it in order and resolve it first.",
            standing.step, standing.stage, standing.reason
        ),
        Check::NeverReached { stages } => {
            format!(
                "These stages were never finished, so this run says nothing about them: {}.",
                list(stages)
            )
        }
        Check::PlanAgain { plan } => format!(
            "Plan again: approvals are bound to the hash of a plan, which was `{plan}` here, and another plan needs new ones."
        ),
    }
}

const fn cause_gone(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "The input was wrong: correct it; the same input fails again.",
        ErrorKind::NotFound => "Something was missing: see that it exists before the next run.",
        ErrorKind::Denied => {
            "A right was missing: grant it, and check it in the stage that prepares the run."
        }
        ErrorKind::Conflict => "The world was not as planned: find out who changed it before planning again.",
        ErrorKind::Failed => {
            "A check came out badly: reproduce it in a lower environment, mend it there, and prove the new release there."
        }
        ErrorKind::Unavailable => {
            "The other side could not be reached: see that it is up and reachable from here."
        }
        ErrorKind::Throttled => {
            "The other side asked for patience: ask for a higher quota or deploy at a quieter time."
        }
        ErrorKind::TimedOut => {
            "No answer came in time: find out what took so long before raising the deadline."
        }
        ErrorKind::Cancelled => "The run was stopped on purpose: see that the reason is gone.",
        ErrorKind::Unknown => {
            "The cause is not known for certain: find it from the chain above before trying again."
        }
    }
}

pub(super) fn suggestion(suggestion: &Suggestion) -> String {
    match suggestion {
        Suggestion::CarryOn { direction } => carry_on(*direction).to_owned(),
        Suggestion::Decide => {
            "The run is held: have it rolled back, or let it go on where another attempt can help.".to_owned()
        }
        Suggestion::Settle { standing } => settle(standing),
        Suggestion::KeptWarm { step, instances, .. } => {
            format!("Replaced instances of `{step}` still run: {}.", list(instances))
        }
        Suggestion::WayBackClosed { steps } => format!(
            "The replaced instances of {} are stopped: going back now is another deployment of the earlier release.",
            list(steps)
        ),
        Suggestion::Irreversible { step, reason } => {
            format!("`{step}` is done and has no way back: {reason}.")
        }
        Suggestion::Backup { step, path, digest } => format!(
            "`{step}` left a backup at `{}` (`{digest}`): keep it until it is certain that nobody will go back to it.",
            path.display()
        ),
        Suggestion::GateBroken { gate, values } => broken(*gate, values),
        Suggestion::MeasureGates { gates } => {
            let names: Vec<&str> = gates.iter().map(|gate| word::gate(*gate)).collect();
            format!(
                "Nothing measured these gates of the standard; add a check for each: {}.",
                names.join(", ")
            )
        }
        Suggestion::Retries { call, attempts, cause } => {
            format!("`{call}` needed {attempts} attempts; find out why before it needs more: {cause}.")
        }
        Suggestion::OwnersLost { times, longest_ms } => format!(
            "The run lost its owner {} and rested up to {}: look at the machine that it ran on.",
            word::times(*times),
            word::duration(*longest_ms)
        ),
        Suggestion::SilentGate { step, verdict, times, .. } => silent(step, *verdict, *times),
        Suggestion::Revisit { declared } => revisit(declared),
        Suggestion::Documents { paths } => {
            let paths: Vec<_> = paths.iter().map(|path| path.display()).collect();
            format!("The deployment's documents stand at {}.", list(&paths))
        }
        Suggestion::Investigate { seq } => {
            format!("Record {seq} does not follow from the ones before it: find out what wrote it.")
        }
    }
}

const fn carry_on(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => {
            "The run is not over: if nobody works on it any more, take it up again by its id."
        }
        Direction::Back => {
            "The rollback is not over: if nobody works on it any more, take the run up again by its id."
        }
    }
}

fn settle(standing: &Standing) -> String {
    format!(
        "`{}` of stage {} still stands ({}): put it in order, then resume the run, resolve it with evidence, or close \
         the run.",
        standing.step, standing.stage, standing.reason
    )
}

fn silent(step: &Name, verdict: Verdict, times: u32) -> String {
    let times = word::times(times);
    match verdict {
        Verdict::ProviderError => {
            format!("The gate of `{step}` could not read its evidence {times}: look at its source.")
        }
        Verdict::Insufficient | Verdict::Pass | Verdict::Fail => {
            format!(
                "The gate of `{step}` had too little evidence {times}: give it more traffic or more time."
            )
        }
    }
}

fn broken(gate: StandardGate, values: &[Option<f64>]) -> String {
    let value = |value: &Option<f64>| match value {
        Some(value) => format!("{value} {}", gate.unit()),
        None => "no number".to_owned(),
    };
    let values: Vec<String> = values.iter().map(value).collect();
    format!("{} is broken: {} where it must be {}.", word::gate(gate), values.join(", "), word::limit(gate))
}

fn revisit(declared: &Declared) -> String {
    let what = match &declared.activity {
        Some(activity) => format!("{activity}"),
        None => format!("Stage {}", declared.stage),
    };
    format!("{what} was left out: see whether that still holds before the next release.")
}

pub(super) fn verify(document: &Document) -> Vec<String> {
    if document.audit.records == 0 {
        return vec!["There are no records to check.".to_owned()];
    }
    vec![
        "Each record's hash is SHA-256 over the hash before it (32 zero bytes before the first), its number as 8 \
         bytes big endian, and its text as stored; the last one is the chain head."
            .to_owned(),
        "To check this report, load the run's journal and read it with `flow_core::journal::read`, which refuses a \
         record that was edited, moved or left out; compare the number of records and the chain head with the ones \
         above, and make the report again with `Report::of`: it must come out the same."
            .to_owned(),
    ]
}
