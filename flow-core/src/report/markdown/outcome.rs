use crate::error::Cause;
use crate::report::language::{Column, Fact, Heading, Note};
use crate::report::markdown::Page;
use crate::report::markdown::stage::time;
use crate::report::markdown::table::Table;
use crate::report::{Document, Failure, GateReport};

pub(super) fn anomalies(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Anomalies));
    if document.anomalies.is_empty() {
        return page.paragraph(language.note(Note::NoAnomalies));
    }
    let columns = [Column::At, Column::What, Column::Handled];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for anomaly in &document.anomalies {
        let handled: Vec<String> =
            anomaly.handled.iter().map(|handling| language.handling(handling)).collect();
        let handled = if handled.is_empty() {
            language.note(Note::NotHandled).to_owned()
        } else {
            language.clauses(&handled)
        };
        table.row([anomaly.at.to_string(), language.anomaly(&anomaly.kind), handled]);
    }
    page.table(&table);
}

pub(super) fn gates(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Gates));
    let columns = [Column::Gate, Column::Limit, Column::Value, Column::State, Column::How];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for report in &document.gates {
        rows(page, &mut table, report);
    }
    page.table(&table);
}

/// One row a figure, and one for a gate that has none.
fn rows(page: &Page<'_>, table: &mut Table, report: &GateReport) {
    use crate::report::GateVerdict::{Broken, Kept};
    let language = page.language;
    let head = || (language.gate(report.gate).to_owned(), language.limit(report.gate));
    if report.figures.is_empty() {
        let ((gate, limit), verdict) = (head(), language.verdict(report.verdict).to_owned());
        table.row([gate, limit, String::new(), verdict, String::new()]);
    }
    for figure in &report.figures {
        let (gate, limit) = head();
        let value = figure.value.map_or_else(|| "NaN".to_owned(), |value| format!("{value} {}", report.unit));
        let verdict = language.verdict(if figure.holds { Kept } else { Broken });
        let how = language.named(&format!("`{}`", figure.step), &figure.measured);
        table.row([gate, limit, value, verdict.to_owned(), how]);
    }
}

pub(super) fn rollback(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Rollback));
    let Some(rollback) = &document.rollback else {
        return page.paragraph(language.note(Note::NoRollback));
    };
    page.paragraph(&language.named(language.fact(Fact::Cause), &language.cause(&rollback.cause)));
    page.paragraph(&language.took(rollback));
    let columns = [
        Column::Number,
        Column::Stage,
        Column::Step,
        Column::Began,
        Column::Ended,
        Column::Took,
        Column::Attempts,
        Column::State,
    ];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for (number, target) in (1_u32..).zip(&rollback.targets) {
        table.row([
            number.to_string(),
            language.stage(target.stage).to_owned(),
            format!("`{}`", target.step),
            time(target.began),
            time(target.ended),
            target.duration_ms.map(|took| language.duration(took)).unwrap_or_default(),
            target.attempts.to_string(),
            language.undone(&target.state),
        ]);
    }
    if table.is_empty() {
        page.paragraph(language.note(Note::NothingToUndo));
    } else {
        page.table(&table);
    }
    if !rollback.standing.is_empty() {
        page.paragraph(language.note(Note::Standing));
        page.bullets(rollback.standing.iter().map(|standing| language.standing(standing)));
    }
}

pub(super) fn lessons(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Lessons));
    let (Some(failure), Some(lessons)) = (&document.failure, &document.lessons) else {
        return page.paragraph(language.note(Note::NothingFailed));
    };
    causes(page, failure);
    page.heading(3, language.heading(Heading::Response));
    let columns = [Column::Number, Column::State, Column::At, Column::What];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for (number, step) in (1_u32..).zip(&lessons.response) {
        let (state, what) = (language.emergency_state(step.state), language.emergency(step.step));
        table.row([number.to_string(), state.to_owned(), time(step.at), what.to_owned()]);
    }
    page.table(&table);
    page.heading(3, language.heading(Heading::Checks));
    page.bullets(lessons.checks.iter().map(|check| language.check(check)));
}

/// Where it failed and why, and the causes below that, outermost first.
fn causes(page: &mut Page<'_>, failure: &Failure) {
    let language = page.language;
    let cause = Cause { chain: Vec::new(), ..failure.cause.clone() };
    page.paragraph(&language.failure(&Failure { cause, ..failure.clone() }));
    let chain = &failure.cause.chain;
    if !chain.is_empty() {
        page.bullets(chain.iter().map(|cause| language.named(language.fact(Fact::Chain), cause)));
    }
}
