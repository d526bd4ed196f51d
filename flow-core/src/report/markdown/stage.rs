use jiff::Timestamp;
use serde_json::Value;

use crate::report::language::{Column, Note, Wording};
use crate::report::markdown::Page;
use crate::report::markdown::table::Table;
use crate::report::{ActivityReport, Proof, StageReport, StepReport};

/// The longest observed value that is shown; all of it is in the JSON report.
const LONGEST_VALUE: usize = 160;

pub(super) fn stage(page: &mut Page<'_>, stage: &StageReport) {
    let language = page.language;
    page.heading(2, &language.section(stage.number, stage.stage, stage.status));
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

fn row(language: &dyn Wording, activity: &ActivityReport) -> [String; 4] {
    let steps: Vec<String> = activity.steps.iter().map(|step| format!("`{step}`")).collect();
    let evidence: Vec<String> =
        activity.evidence.iter().map(|proof| evidence(language, proof, activity.steps.len())).collect();
    let evidence = match &activity.declaration {
        Some(declaration) => language.declaration(declaration),
        None if evidence.is_empty() => language.note(Note::NoEvidence).to_owned(),
        None => language.clauses(&evidence),
    };
    [
        language.activity(&activity.activity),
        language.status(activity.status).to_owned(),
        language.listed(&steps),
        evidence,
    ]
}

fn evidence(language: &dyn Wording, proof: &Proof, steps: usize) -> String {
    let observed: Vec<String> =
        proof.observed.iter().map(|(name, value)| language.named(name, &shown(value))).collect();
    let shown = if observed.is_empty() {
        proof.summary.clone()
    } else {
        language.remark(&proof.summary, &language.listed(&observed))
    };
    if steps > 1 { language.named(&format!("`{}`", proof.step), &shown) } else { shown }
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
            Some(strategy) => language.rollout(&step.step, strategy),
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
    let causes: Vec<String> = causes
        .map(|(step, cause)| language.named(&format!("`{}`", step.step), &language.cause(cause)))
        .collect();
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
