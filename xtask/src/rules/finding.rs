//! What a rule finds wrong.

use std::fmt;

/// A rule that exceptions can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Who may depend on whom.
    Dependencies,
    /// Where flow-core's feature `testing` may be on.
    TestingFeature,
    /// A library does not print.
    Prints,
    /// A library reads neither the environment nor the home directory.
    ReadsEnvironment,
    /// Lints are expected with a reason, never allowed.
    AllowsLint,
    /// Every doctest runs.
    IgnoredDoctest,
    /// Every test runs.
    IgnoredTest,
    /// Files have fewer than 500 lines that are no tests.
    FileLength,
    /// Functions have fewer than 60 lines.
    FunctionLength,
    /// Modules are named for what they are about.
    ModuleName,
    /// The table of crates is current.
    CrateTable,
    /// Exceptions go when they are no longer needed.
    StaleException,
}

/// One thing that is against a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file below the root, or the crate.
    pub(crate) place: String,
    /// The line in the file, from 1; none for a crate or a whole file.
    pub(crate) line: Option<usize>,
    /// The rule.
    pub(crate) rule: Rule,
    /// What is wrong.
    pub(crate) problem: String,
}

impl Finding {
    /// Something wrong with a whole crate or file.
    pub(crate) fn of(rule: Rule, place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: None, rule, problem: problem.into() }
    }

    /// Something wrong in one line of a file.
    pub(crate) fn at(rule: Rule, place: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of(rule, place, problem) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {} [{:?}]", self.problem, self.rule)
    }
}
