//! What holds for every report: 36 rows, well-formed Markdown, a JSON form that reads back, no panic.

use std::sync::LazyLock;

use flow_core::journal::{Entry, Record};
use flow_core::report::{Document, Language, Report, Status};
use flow_core::stage::StageName;
use proptest::prelude::*;

use crate::runs::{ALL, plainly};
use crate::story::SECRET;

/// Everything that a text could try to break a report with.
const HOSTILE: &str = "|x|\r\n\n# Forged\n- [ok](javascript:x) <script>alert(1)</script> ``` `a|b` ` **b** &lt; \\| \u{1b}[31m\u{2028}| - |\n---\n";

/// An actor is one line, so it can try less.
fn hostile(text: &str) -> String {
    if matches!(text, "ann" | "bob" | "carl" | "dora") {
        return format!("{text}|<b>`*_[x](y)\\");
    }
    format!("{text} {HOSTILE}{text}")
}

fn records() -> impl Iterator<Item = (&'static str, Vec<Record>)> {
    ALL.iter().map(|(name, run)| (*name, run(&plainly).records()))
}

/// Every language has the same form, line by line, and none can be broken.
fn check(report: &Report) {
    let document = report.document();
    let stages: Vec<StageName> = document.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(stages, StageName::ALL);
    let rows = document.stages.iter().flat_map(|stage| &stage.activities);
    let standard = StageName::ALL.into_iter().flat_map(StageName::activities);
    assert!(rows.map(|row| row.activity.clone()).eq(standard), "the 36 rows are those of the standard");
    assert_eq!(document.gates.len(), 8);
    let text = report.to_json().to_string();
    let read: Document = serde_json::from_str(&text).unwrap();
    assert_eq!(read, *document, "the JSON form reads back");
    let markdown = report.to_markdown();
    for language in Language::ALL {
        let translated = report.to_markdown_in(language);
        well_formed(&translated);
        assert_eq!(shape(&translated), shape(&markdown), "{language}: another form\n{translated}");
    }
    for row in document.stages.iter().flat_map(|stage| &stage.activities) {
        let line = format!("| {}", row.activity.activity);
        assert!(markdown.lines().any(|shown| shown.starts_with(&line)), "{line} is missing");
    }
}

/// The cells of a table's line; an escaped pipe ends none.
fn cells(line: &str) -> usize {
    let mut escaped = false;
    let ends = line.chars().filter(|char| {
        let ends = *char == '|' && !escaped;
        escaped = *char == '\\' && !escaped;
        ends
    });
    ends.count() - 1
}

/// What a line is in the structure of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Blank,
    Heading(usize),
    Cells(usize),
    Bullet,
    Strong,
    Text,
}

pub(crate) fn shape(markdown: &str) -> Vec<Line> {
    let line = |line: &str| match line {
        "" => Line::Blank,
        line if line.starts_with('#') => Line::Heading(line.chars().take_while(|char| *char == '#').count()),
        line if line.starts_with('|') => Line::Cells(cells(line)),
        line if line.starts_with("- ") => Line::Bullet,
        line if line.starts_with("**") => Line::Strong,
        _ => Line::Text,
    };
    markdown.split('\n').map(line).collect()
}

/// Tables keep their columns, headings and paragraphs stand alone, and no line holds anything raw.
fn well_formed(markdown: &str) {
    let shape = shape(markdown);
    for pair in shape.windows(2) {
        match pair {
            [Line::Cells(before), Line::Cells(after)] => assert_eq!(before, after, "{markdown}"),
            [Line::Bullet, Line::Bullet] | [Line::Blank, _] | [_, Line::Blank] => {}
            other => panic!("{other:?} in\n{markdown}"),
        }
    }
    assert!(!shape.windows(2).any(|pair| pair == [Line::Blank, Line::Blank]), "{markdown}");
    assert!(!markdown.contains('<') && !markdown.contains('>'), "{markdown}");
    assert!(!markdown.chars().any(|char| char.is_control() && char != '\n'), "{markdown}");
    for line in markdown.lines() {
        let plain: String = line.split('`').step_by(2).collect();
        let marks = line.matches('`').count() - line.matches("\\`").count();
        assert_eq!(marks % 2, 0, "an open code span: {line}");
        assert!(!plain.contains("](") || plain.contains("\\]("), "a link: {line}");
    }
}

#[test]
fn every_prefix_of_every_history_gives_a_whole_report() {
    for (name, records) in records() {
        for length in 0..=records.len() {
            let report = Report::of(records[..length].to_vec());
            assert_eq!(report.document().audit.refused, None, "{name}, {length} records");
            check(&report);
        }
    }
}

#[test]
fn texts_of_the_journal_change_nothing_but_the_text() {
    for (name, run) in ALL {
        let story = run(&hostile);
        let report = story.report();
        check(&report);
        let text = story.entries.iter().any(|entry| matches!(entry, Entry::Attempted { .. }));
        for language in Language::ALL {
            let hostile = report.to_markdown_in(language);
            let plain = run(&plainly).report().to_markdown_in(language);
            assert_eq!(shape(&hostile), shape(&plain), "{name}.{language}");
            assert!(!hostile.lines().any(|line| line.trim_start_matches('#').trim() == "Forged"), "{name}");
            assert!(!text || hostile.contains(r"&lt;script&gt;alert(1)&lt;/script&gt;"), "{name}.{language}");
        }
    }
}

#[test]
fn what_was_captured_for_undo_never_shows() {
    for (name, records) in records() {
        let captured = records.iter().any(|record| format!("{:?}", record.entry).contains(SECRET));
        assert!(captured || matches!(name, "empty" | "started"), "{name} captures nothing");
        let report = Report::of(records);
        let pages = Language::ALL.map(|language| report.to_markdown_in(language));
        assert!(pages.iter().all(|page| !page.contains(SECRET)), "{name}");
        assert!(!report.to_json().to_string().contains(SECRET), "{name}");
    }
}

#[test]
fn times_are_in_utc_and_whole_seconds() {
    let report = crate::runs::completed(&plainly).report();
    let json = report.to_json();
    assert_eq!(json["times"]["started"], "2026-03-01T10:00:00Z");
    let stamp = |text: &str| text.len() == 20 && text.starts_with("2026-") && text.ends_with('Z');
    let steps =
        json["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    assert!(steps.clone().count() > 8);
    for step in steps {
        assert!(stamp(step["began"].as_str().unwrap()) && stamp(step["ended"].as_str().unwrap()), "{step}");
    }
}

#[test]
fn a_history_that_the_machine_refuses_gives_a_report_that_says_so() {
    let mut records = crate::runs::completed(&plainly).records();
    let finished = records.iter().position(|r| matches!(r.entry, Entry::StageFinished { .. })).unwrap();
    records.remove(finished);
    let report = Report::of(records.clone());
    check(&report);
    let refused = report.document().audit.refused.clone().unwrap();
    assert!(refused.seq > records[finished - 1].seq, "{refused:?}");
    let markdown = report.to_markdown();
    assert!(
        markdown.contains(&format!("**Record {} cannot follow the ones before it", refused.seq)),
        "{markdown}"
    );
    assert_eq!(report.document().audit.records, records.len() as u64);
}

#[test]
fn a_history_without_its_beginning_is_refused_from_its_first_record_on() {
    let records = crate::runs::completed(&plainly).records();
    let report = Report::of(records[1..].to_vec());
    check(&report);
    assert_eq!(report.document().audit.refused.as_ref().map(|refused| refused.seq), Some(2));
    assert_eq!(report.run(), None);
    let rows = report.document().stages.iter().flat_map(|stage| &stage.activities);
    assert!(rows.into_iter().all(|row| row.status == Status::NotReached));
}

/// All histories, made once.
static RECORDS: LazyLock<Vec<Vec<Record>>> =
    LazyLock::new(|| records().map(|(_, records)| records).collect());

/// 200 cases, and 5,000 with `FLOW_LONG=1`.
fn cases() -> ProptestConfig {
    let long = std::env::var("FLOW_LONG").is_ok_and(|long| long == "1");
    let cases = if long { 5_000 } else { 200 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn records_left_out_doubled_or_moved_never_break_a_report(
        which in 0..ALL.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8), 0..6),
        length in any::<prop::sample::Index>(),
    ) {
        let mut records = RECORDS[which].clone();
        for (from, to, change) in changes {
            if records.is_empty() {
                break;
            }
            let (from, to) = (from.index(records.len()), to.index(records.len()));
            match change {
                0 => drop(records.remove(from)),
                1 => records.insert(to, records[from].clone()),
                _ => records.swap(from, to),
            }
        }
        records.truncate(length.index(records.len() + 1));
        check(&Report::of(records));
    }
}
