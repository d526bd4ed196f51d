//! The whole text of reports, compared byte by byte. `FLOW_BLESS=1` writes them anew.

use std::path::PathBuf;

use flow_core::report::Language;

use crate::runs::{ALL, plainly};

fn compare(file: &str, actual: &str) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/report/golden").join(file);
    if std::env::var_os("FLOW_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = |(expected, actual): &(&str, &str)| expected != actual;
    match expected.lines().zip(actual.lines()).find(differs) {
        Some((expected, actual)) => Err(format!("{file}\n  expected: {expected}\n  actual:   {actual}")),
        None if expected.len() != actual.len() => {
            Err(format!("{file}: {} bytes expected, {} made", expected.len(), actual.len()))
        }
        None => Ok(()),
    }
}

#[test]
fn every_report_reads_as_the_one_that_was_looked_through() {
    let results = ALL.iter().flat_map(|(name, run)| {
        let report = run(&plainly).report();
        let json = serde_json::to_string_pretty(&report.to_json()).unwrap() + "\n";
        [
            compare(&format!("{name}.md"), &report.to_markdown()),
            compare(&format!("{name}.zh.md"), &report.to_markdown_in(Language::Chinese)),
            compare(&format!("{name}.json"), &json),
        ]
    });
    let wrong: Vec<String> = results.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "set FLOW_BLESS=1 to accept:\n{}", wrong.join("\n"));
}
