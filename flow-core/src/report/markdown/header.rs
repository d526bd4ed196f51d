use crate::name::Digest;
use crate::report::language::{Column, Fact, Heading, Note};
use crate::report::markdown::Page;
use crate::report::markdown::table::Table;
use crate::report::{Document, RunFacts};

pub(super) fn header(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(1, &language.title(document));
    page.strong(&language.outcome(document));
    if let Some(refused) = language.refused(document) {
        page.strong(&refused);
    }
    if let Some(failure) = &document.failure {
        page.paragraph(&language.failure(failure));
    }
    let mut table = Table::new([language.column(Column::Fact), language.column(Column::Value)]);
    let mut fact = |fact, value: String| table.row([language.fact(fact).to_owned(), value]);
    if let Some(run) = &document.run {
        for (name, value) in facts(page, run) {
            fact(name, value);
        }
    }
    let times = &document.times;
    for (name, at) in
        [(Fact::Started, times.started), (Fact::Ended, times.ended), (Fact::LastRecord, times.last)]
    {
        // Once the run is over its last record says nothing more.
        if let Some(at) = at.filter(|_| name != Fact::LastRecord || times.ended.is_none()) {
            fact(name, at.to_string());
        }
    }
    if times.started.is_some() {
        fact(Fact::Duration, language.duration(times.duration_ms));
    }
    if let Some(head) = document.audit.head {
        fact(Fact::Head, code(head));
    }
    if !table.is_empty() {
        page.table(&table);
    }
    overview(page, document);
}

fn facts(page: &Page<'_>, run: &RunFacts) -> Vec<(Fact, String)> {
    let language = page.language;
    let join = |names: Vec<String>| {
        if names.is_empty() { language.note(Note::NoneGiven).to_owned() } else { language.listed(&names) }
    };
    let approvals = join(run.approvals.iter().map(ToString::to_string).collect());
    let artifacts = join(run.artifacts.iter().map(|digest| code(*digest)).collect());
    let owners = join(run.owners.iter().map(|owner| format!("`{owner}`")).collect());
    let irreversible =
        run.irreversible.iter().map(|(step, reason)| language.named(&format!("`{step}`"), reason)).collect();
    vec![
        (Fact::Application, run.application.to_string()),
        (Fact::Release, run.release.to_string()),
        (Fact::Environment, language.environment(run.environment).to_owned()),
        (Fact::Initiator, run.initiator.to_string()),
        (Fact::Approvals, language.approvals(&approvals, run.approvals_needed)),
        (Fact::Artifacts, artifacts),
        (Fact::Irreversible, join(irreversible)),
        (Fact::OnFailure, language.on_failure(run.on_failure).to_owned()),
        (Fact::KeepWarm, language.duration(run.keep_warm_ms)),
        (Fact::Owners, owners),
        (Fact::PlanHash, code(run.plan_hash)),
        (Fact::Fingerprint, code(run.fingerprint)),
    ]
}

fn overview(page: &mut Page<'_>, document: &Document) {
    let language = page.language;
    page.heading(2, language.heading(Heading::Overview));
    let columns = [Column::Number, Column::Stage, Column::Status, Column::Took];
    let mut table = Table::new(columns.map(|column| language.column(column)));
    for stage in &document.stages {
        let took: Vec<u64> = stage.steps.iter().filter_map(|step| step.duration_ms).collect();
        let took = if took.is_empty() { String::new() } else { language.duration(took.into_iter().sum()) };
        let (name, status) =
            (language.stage(stage.stage).to_owned(), language.status(stage.status).to_owned());
        table.row([stage.number.to_string(), name, status, took]);
    }
    page.table(&table);
}

pub(super) fn code(digest: Digest) -> String {
    format!("`{digest}`")
}
