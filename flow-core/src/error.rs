//! What can go wrong in a step or a port, and what the engine may conclude from it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure a [`StepError`] is. The engine decides by this alone and never reads text.
///
/// For whoever writes an adapter or a step:
///
/// | situation | kind |
/// |---|---|
/// | a parameter is malformed or out of bounds ([`Problems`] become this kind) | [`Invalid`](Self::Invalid) |
/// | the file, database, service or version that must be there is not | [`NotFound`](Self::NotFound) |
/// | wrong credentials, missing rights, a read-only file system | [`Denied`](Self::Denied) |
/// | something else stands there, a later fence was seen, what is kept is damaged or of an unknown form | [`Conflict`](Self::Conflict) |
/// | a check was made and came out badly | [`Failed`](Self::Failed) |
/// | connection refused, disk full, a lock held by another process, answer 502 or 503, **before** anything was changed | [`Unavailable`](Self::Unavailable) |
/// | answer 429 or another call for patience | [`Throttled`](Self::Throttled) |
/// | the request went out and no answer came in time | [`TimedOut`](Self::TimedOut) |
/// | [`Permit::cancel`](crate::Permit::cancel) was called, and the call stopped half-way | [`Cancelled`](Self::Cancelled) |
/// | the connection or the disk gave an error while it was changed; anything not understood | [`Unknown`](Self::Unknown), by [`StepError::in_doubt`] |
///
/// Where any of the first seven happens after the change was begun, [`StepError::after_effect`] makes it one in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong. Nothing was changed; trying again changes nothing.
    Invalid,
    /// Something that must exist does not. Nothing was changed.
    NotFound,
    /// A right is missing. Nothing was changed.
    Denied,
    /// The world is not as it must be: drift, another owner, a dirty tree, a taken port. Nothing was changed.
    Conflict,
    /// A check came out badly. Nothing was changed by the check itself.
    Failed,
    /// The other side could not be reached, so nothing was changed; worth another attempt.
    Unavailable,
    /// The other side asked for patience, so nothing was changed; worth another attempt.
    Throttled,
    /// No answer came in time: the effect may or may not stand; worth another attempt.
    TimedOut,
    /// Cancelled while under way: the effect may or may not stand.
    Cancelled,
    /// Anything else. The effect may or may not stand.
    Unknown,
}

impl ErrorKind {
    /// Whether the effect certainly left nothing behind.
    #[must_use]
    pub const fn is_rejection(self) -> bool {
        match self {
            Self::Invalid
            | Self::NotFound
            | Self::Denied
            | Self::Conflict
            | Self::Failed
            | Self::Unavailable
            | Self::Throttled => true,
            Self::TimedOut | Self::Cancelled | Self::Unknown => false,
        }
    }

    /// Whether another attempt may come out differently.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::TimedOut)
    }
}

/// The failure of a step, a port or a check.
///
/// Unknown is never treated as failed: a kind that [is a rejection](ErrorKind::is_rejection) claims that **nothing was
/// left behind**. Code that has begun to change something and cannot tell how far it came says
/// [`in_doubt`](Self::in_doubt), which is also what any foreign error becomes.
///
/// ```
/// use flow_core::{ErrorKind, StepError};
///
/// let refused = StepError::new(ErrorKind::Conflict, "the tree is dirty").fact("path", "src/lib.rs");
/// assert!(refused.kind().is_rejection());
/// assert_eq!(refused.to_string(), "the tree is dirty (path: `src/lib.rs`)");
/// ```
#[derive(Debug)]
pub struct StepError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    facts: Vec<(Cow<'static, str>, String)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StepError {
    /// An error of `kind`. The message is lower-case, without a full stop and without "failed to".
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), facts: Vec::new(), source: None }
    }

    /// An error that leaves open whether the effect stands.
    pub fn in_doubt(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unknown, message)
    }

    /// Adds a fact, such as the path or the status. Never a secret.
    #[must_use]
    pub fn fact(mut self, name: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error as one that leaves open whether the effect stands: for code that had begun to change something.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        if self.kind.is_rejection() {
            self.kind = if self.kind.is_retryable() { ErrorKind::TimedOut } else { ErrorKind::Unknown };
        }
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without facts and causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The facts, in the order they were added.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (index, (name, value)) in self.facts.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{name}: `{value}`")?;
        }
        if self.facts.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The journal's form of a [`StepError`]: what a later process can still read of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
    /// The facts by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// The causes below, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

impl Cause {
    /// A cause without facts.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), facts: BTreeMap::new(), chain: Vec::new() }
    }
}

impl From<&StepError> for Cause {
    fn from(error: &StepError) -> Self {
        let mut chain = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        let facts = error.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { kind: error.kind, message: error.message.to_string(), facts, chain }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (index, (name, value)) in self.facts.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{name}: `{value}`")?;
        }
        if !self.facts.is_empty() {
            f.write_str(")")?;
        }
        self.chain.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl Error for Cause {}

/// One thing wrong with an input: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field, as a path such as `service.size`.
    pub field: String,
    /// What is wrong with its value.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.problem)
    }
}

/// Everything wrong with an input, at once.
///
/// ```
/// use flow_core::Problems;
///
/// let mut problems = Problems::default();
/// problems.check(0 > 1, "size", "must be at least 1");
/// problems.check(true, "port", "must be free");
/// assert_eq!(problems.into_result().unwrap_err().to_string(), "`size`: must be at least 1");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem.
    pub fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Problem { field: field.into(), problem: problem.into() });
    }

    /// Adds a problem unless `holds`.
    pub fn check(&mut self, holds: bool, field: &str, problem: &str) {
        if !holds {
            self.add(field, problem);
        }
    }

    /// The problems in the order they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// `Ok` where nothing was found.
    ///
    /// # Errors
    /// The problems themselves, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { "; " };
            write!(f, "{before}{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}

impl From<Problems> for StepError {
    /// An error of kind [`Invalid`](ErrorKind::Invalid) that has the problems, with their field names, as its cause: so
    /// `problems.into_result()?` is all that a port method needs.
    fn from(problems: Problems) -> Self {
        Self::new(ErrorKind::Invalid, "the input is invalid").because(problems)
    }
}
