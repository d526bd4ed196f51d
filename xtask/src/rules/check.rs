//! Runs every rule over the workspace.

use std::fmt;

use thiserror::Error;

use super::exceptions::{self, Exception};
use super::finding::{Finding, Rule};
use super::source::Source;
use super::{dependencies, habits, modules, sizes, testing};
use crate::metadata::{Metadata, MetadataError};
use crate::table;
use crate::workspace::{FileError, Workspace};

/// What the rules found, to be printed.
#[derive(Debug)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    exceptions: Vec<Exception>,
    files: usize,
}

/// Why the rules could not be checked.
#[derive(Debug, Error)]
pub(crate) enum RulesError {
    /// Cargo did not say what the workspace is.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Checks the whole workspace; `exceptions` says where a rule does not hold.
pub(crate) fn check_workspace(workspace: &Workspace, exceptions: &[Exception]) -> Result<Report, RulesError> {
    let metadata = Metadata::of(workspace)?;
    let sources = Source::all(&workspace.rust_files()?);
    let mut findings = dependencies::check(&metadata);
    findings.extend(testing::check(&metadata));
    findings.extend(sources.iter().flat_map(check_source));
    findings.extend(check_table(workspace, &metadata, &sources)?);
    findings = exceptions::apply(findings, exceptions);
    findings.sort();
    Ok(Report { findings, exceptions: exceptions.to_vec(), files: sources.len() })
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = habits::check(source);
    findings.extend(sizes::check(source));
    findings.extend(modules::check(source));
    findings
}

fn check_table(
    workspace: &Workspace,
    metadata: &Metadata,
    sources: &[Source],
) -> Result<Option<Finding>, FileError> {
    let document = workspace.read(table::DOCUMENT)?;
    let problem = table::problem(&document, metadata, sources);
    Ok(problem.map(|problem| Finding::of(Rule::CrateTable, table::DOCUMENT, problem)))
}

impl Report {
    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many things were found.
    pub(crate) fn count(&self) -> usize {
        self.findings.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, place, reason) in &self.exceptions {
            writeln!(f, "{place}: excepted from {rule:?}: {reason}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        writeln!(f, "{} files, {} findings", self.files, self.findings.len())
    }
}
