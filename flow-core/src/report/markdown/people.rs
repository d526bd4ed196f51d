use crate::report::Document;
use crate::report::language::{Column, Fact, Heading, Note};
use crate::report::markdown::Page;
use crate::report::markdown::header::code;
use crate::report::markdown::stage::shown;
use crate::report::markdown::table::Table;

pub(super) fn people(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::People));
    if let Some(run) = &document.run {
        let given: Vec<String> = run.approvals.iter().map(ToString::to_string).collect();
        let given = if given.is_empty() {
            language.note(Note::NoneGiven).to_owned()
        } else {
            language.listed(&given)
        };
        let approvals = language.approvals(&given, run.approvals_needed);
        page.paragraph(&language.named(language.fact(Fact::Approvals), &approvals));
    }
    decisions(page, document);
    declarations(page, document);
    if !document.notices.is_empty() {
        page.heading(3, language.heading(Heading::Notices));
        let facts = document.notices.iter().flat_map(|notice| {
            let at = notice.at;
            notice
                .facts
                .iter()
                .map(move |(name, value)| language.named(&format!("{at} {name}"), &shown(value)))
        });
        page.bullets(facts);
    }
}

fn decisions(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(3, language.heading(Heading::Decisions));
    if document.decisions.is_empty() {
        return page.paragraph(language.note(Note::NoDecisions));
    }
    let columns = [Column::At, Column::By, Column::What];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for decision in &document.decisions {
        table.row([decision.at.to_string(), decision.by.to_string(), language.decision(&decision.kind)]);
    }
    page.table(&table);
}

fn declarations(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(3, language.heading(Heading::Declarations));
    if document.declarations.is_empty() {
        return page.paragraph(language.note(Note::NoDeclarations));
    }
    let columns = [Column::Stage, Column::Activity, Column::By, Column::Reason];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for declared in &document.declarations {
        let activity = declared.activity.as_ref().map(|activity| language.activity(activity));
        let (by, reason) = (declared.declaration.by.to_string(), declared.declaration.reason.clone());
        table.row([language.stage(declared.stage).to_owned(), activity.unwrap_or_default(), by, reason]);
    }
    page.table(&table);
}

pub(super) fn maintenance(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Maintenance));
    if document.suggestions.is_empty() {
        return page.paragraph(language.note(Note::NoSuggestions));
    }
    page.bullets(document.suggestions.iter().map(|suggestion| language.suggestion(suggestion)));
}

pub(super) fn audit(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Audit));
    let records = document.audit.records.to_string();
    let mut facts = vec![language.named(language.fact(Fact::Records), &records)];
    facts.extend(document.audit.head.map(|head| language.named(language.fact(Fact::Head), &code(head))));
    facts.extend(language.refused(document));
    page.bullets(facts);
    for line in language.verify(document) {
        page.paragraph(&line);
    }
}
