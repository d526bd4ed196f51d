//! The table of crates and their lines in ARCHITECTURE.md, written by `cargo xtask table` and checked with the rules.

use std::fmt::Write as _;

use thiserror::Error;

use crate::metadata::{Metadata, MetadataError};
use crate::rules::Source;
use crate::workspace::{FileError, Workspace};

/// The document that holds the table.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

const BEGIN: &str = "<!-- crates -->";
const END: &str = "<!-- /crates -->";

/// Lines are rounded up to this, so that the table changes when a crate grows and not with every line.
const ROUNDED_TO: usize = 100;

/// Why the table could not be written.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    /// Cargo did not say what the workspace is.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The document does not say where the table goes.
    #[error("`{DOCUMENT}` has no `{BEGIN}` with a `{END}` after it")]
    NoMarkers,
}

/// Writes the table as it must be now.
pub(crate) fn update(workspace: &Workspace) -> Result<(), TableError> {
    let metadata = Metadata::of(workspace)?;
    let sources = Source::all(&workspace.rust_files()?);
    let document = workspace.read(DOCUMENT)?;
    let updated = replace(&document, &render(&metadata, &sources)).ok_or(TableError::NoMarkers)?;
    if updated == document {
        println!("the table in `{DOCUMENT}` is current");
    } else {
        workspace.write(DOCUMENT, &updated)?;
        println!("wrote the table in `{DOCUMENT}`");
    }
    Ok(())
}

/// What is wrong with the document's table, if anything is.
pub(crate) fn problem(document: &str, metadata: &Metadata, sources: &[Source]) -> Option<String> {
    match replace(document, &render(metadata, sources)) {
        None => Some(TableError::NoMarkers.to_string()),
        Some(updated) if updated == document => None,
        Some(_) => Some("the table of crates is out of date: `cargo xtask table` writes it".to_owned()),
    }
}

/// The document with `table` between its markers; none without both of them.
fn replace(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

fn render(metadata: &Metadata, sources: &[Source]) -> String {
    let mut members: Vec<_> = metadata.members().map(|(package, folder)| (folder, package)).collect();
    members.sort_by_key(|(folder, _)| *folder);
    let mut table =
        "| crate | folder | what it is | code | docs | tests |\n|---|---|---|--:|--:|--:|\n".to_owned();
    for (folder, package) in members {
        let folder = folder.to_string_lossy();
        let below = format!("{folder}/");
        let own = sources.iter().filter(|source| source.path().starts_with(&below));
        let (mut code, mut docs, mut tests) = (0, 0, 0);
        for lines in own.map(Source::lines) {
            code += lines.code;
            docs += lines.docs;
            tests += lines.tests;
        }
        let what = package.description.as_deref().unwrap_or_default();
        let (code, docs, tests) = (round(code), round(docs), round(tests));
        let row = writeln!(table, "| {} | `{folder}` | {what} | {code} | {docs} | {tests} |", package.name);
        debug_assert!(row.is_ok(), "a text takes every line");
    }
    table
}

fn round(lines: usize) -> usize {
    lines.div_ceil(ROUNDED_TO) * ROUNDED_TO
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fixture::Fixture;
    use crate::workspace::SourceFile;

    const DOCUMENT: &str = "# A\n\n<!-- crates -->\nold\n<!-- /crates -->\n\nend\n";

    fn metadata() -> Metadata {
        Fixture::new().member("flow-core", "flow-core").member("flow-corelike", "flow-corelike").metadata()
    }

    fn sources(lines: usize) -> Vec<Source> {
        let text = "const A: u8 = 0;\n".repeat(lines);
        vec![Source::of(&SourceFile { path: "flow-core/src/lib.rs".to_owned(), text })]
    }

    #[test]
    fn the_table_counts_each_crates_own_lines_in_hundreds() {
        let table = render(&metadata(), &sources(101));
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| flow-core | `flow-core` | what it is | 200 | 0 | 0 |",
                "| flow-corelike | `flow-corelike` | what it is | 0 | 0 | 0 |",
            ]
        );
    }

    #[test]
    fn a_written_table_is_current_until_a_crate_has_grown() {
        let written = replace(DOCUMENT, &render(&metadata(), &sources(101))).unwrap();
        assert!(written.starts_with("# A\n") && written.ends_with("\n\nend\n"));
        assert_eq!(problem(&written, &metadata(), &sources(101)), None);
        assert_eq!(problem(&written, &metadata(), &sources(200)), None);
        assert!(problem(&written, &metadata(), &sources(201)).unwrap().contains("out of date"));
    }

    #[test]
    fn a_document_without_its_markers_is_found() {
        for document in ["# A", "<!-- crates -->", "<!-- /crates --> <!-- crates -->"] {
            let problem = problem(document, &metadata(), &sources(1)).unwrap();
            assert_eq!(
                problem,
                "`ARCHITECTURE.md` has no `<!-- crates -->` with a `<!-- /crates -->` after it"
            );
        }
    }
}
