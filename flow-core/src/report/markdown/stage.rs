use jiff::Timestamp;
use serde_json::Value;

use crate::report::language::{Column, Fact, Language, Note};
use crate::report::markdown::Page;
use crate::report::markdown::table::Table;
use crate::report::{ActivityReport, Proof, StageReport, StepReport};

/// The longest observed value that is shown; all of it is in the JSON report.
const LONGEST_VALUE: usize = 160;

pub(super) fn stage(page: &mut Page<'_>, stage: &StageReport) {
    let language = page.language;
    let title =
        format!("{}. {}: {}", stage.number, language.stage(stage.stage), language.status(stage.status));
    page.heading(2, &title);
    let columns = [Column::Activity, Column::Status, Column::Steps, Column::Evidence];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for activity in &stage.activities {
        table.row(row(language, activity));
    }
    page.table(&table);
    if stage.steps.is_empty() {
        return page.paragraph(language.note(Note::NoSteps));
    }
    steps(page, &stage.steps);
    for step in stage.steps.iter().filter(|step| !step.moves.is_empty()) {
        moves(page, step);
    }
}

fn row(language: &dyn Language, activity: &ActivityReport) -> [String; 4] {
    let steps: Vec<String> = activity.steps.iter().map(|step| format!("`{step}`")).collect();
    let evidence: Vec<String> =
        activity.evidence.iter().map(|proof| evidence(proof, activity.steps.len())).collect();
    let evidence = match &activity.declaration {
        Some(declaration) => language.declaration(declaration),
        None if evidence.is_empty() => language.note(Note::NoEvidence).to_owned(),
        None => evidence.join("; "),
    };
    [
        language.activity(&activity.activity),
        language.status(activity.status).to_owned(),
        steps.join(", "),
        evidence,
    ]
}

fn evidence(proof: &Proof, steps: usize) -> String {
    let by = if steps > 1 { format!("`{}`: ", proof.step) } else { String::new() };
    let observed: Vec<String> =
        proof.observed.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
    let observed = if observed.is_empty() { String::new() } else { format!(" ({})", observed.join(", ")) };
    format!("{by}{}{observed}", proof.summary)
}

/// A value on one line, cut where it would hide everything else.
pub(super) fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    let cut: String = text.chars().take(LONGEST_VALUE).collect();
    format!("{cut}...")
}

fn steps(page: &mut Page<'_>, steps: &[StepReport]) {
    let language = page.language;
    let columns = [
        Column::Step,
        Column::Status,
        Column::Began,
        Column::Ended,
        Column::Took,
        Column::Attempts,
        Column::Undo,
    ];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for step in steps {
        let name = match &step.strategy {
            Some(strategy) => format!("`{}` {} {strategy}", step.step, language.fact(Fact::Strategy)),
            None => format!("`{}`", step.step),
        };
        table.row([
            name,
            language.status(step.status).to_owned(),
            time(step.began),
            time(step.ended),
            step.duration_ms.map(|took| language.duration(took)).unwrap_or_default(),
            step.attempts.to_string(),
            language.reversibility(&step.reversibility),
        ]);
    }
    page.table(&table);
    let causes = steps.iter().filter_map(|step| Some((step, step.cause.as_ref()?)));
    let causes: Vec<String> = causes.map(|(step, cause)| format!("`{}`: {cause}", step.step)).collect();
    if !causes.is_empty() {
        page.bullets(causes);
    }
}

fn moves(page: &mut Page<'_>, step: &StepReport) {
    let language = page.language;
    let columns = [Column::Number, Column::Began, Column::Ended, Column::Status, Column::Move];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for (number, made) in (1_u32..).zip(&step.moves) {
        let end = language.end(made.end).to_owned();
        table.row([number.to_string(), time(made.began), time(made.ended), end, language.made(&made.made)]);
    }
    page.heading(3, &format!("`{}`", step.step));
    page.table(&table);
}

pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}
