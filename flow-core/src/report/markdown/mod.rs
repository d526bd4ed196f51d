//! A document as GitHub-flavoured Markdown that reads well in a terminal too.

mod escape;
mod header;
mod outcome;
mod people;
mod stage;
mod table;
mod width;

use escape::{block, inline};
use table::Table;

use crate::report::Document;
use crate::report::language::Wording;

/// Renders the whole report.
pub(super) fn render(document: &Document, language: &dyn Wording) -> String {
    let mut page = Page { text: String::new(), language };
    header::header(&mut page, document);
    for stage in &document.stages {
        stage::stage(&mut page, stage);
    }
    outcome::anomalies(&mut page, document);
    outcome::gates(&mut page, document);
    outcome::rollback(&mut page, document);
    outcome::lessons(&mut page, document);
    people::people(&mut page, document);
    people::maintenance(&mut page, document);
    people::audit(&mut page, document);
    page.text
}

/// A page that grows block by block. Every text that goes in is escaped here, and nowhere else.
struct Page<'a> {
    text: String,
    language: &'a dyn Wording,
}

impl Page<'_> {
    /// Begins a block: one empty line before each but the first.
    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    fn heading(&mut self, level: usize, text: &str) {
        self.begin();
        let line = format!("{} {}\n", "#".repeat(level), inline(text));
        self.text.push_str(&line);
    }

    fn paragraph(&mut self, text: &str) {
        self.begin();
        self.text.push_str(&block(text));
        self.text.push('\n');
    }

    fn strong(&mut self, text: &str) {
        self.begin();
        let line = format!("**{}**\n", inline(text));
        self.text.push_str(&line);
    }

    fn bullets(&mut self, items: impl IntoIterator<Item = String>) {
        self.begin();
        for item in items {
            let line = format!("- {}\n", block(&item));
            self.text.push_str(&line);
        }
    }

    fn table(&mut self, table: &Table) {
        self.begin();
        self.text.push_str(&table.render());
    }
}
