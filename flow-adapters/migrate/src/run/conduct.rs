//! Which scripts run statement by statement, and what their statements do to transactions.

use flow_sql::{Conduct, Dialect, Mode, Statement, lex};

/// Whether a script runs statement by statement: it asks for that, or one of its statements allows nothing else.
pub(crate) fn is_stepwise(dialect: Dialect, mode: Mode, statements: &[Statement]) -> bool {
    mode == Mode::Statements
        || statements.iter().any(|statement| statement.conduct(dialect) != Conduct::Within)
}

/// What a statement does to the transaction of its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Begins,
    Commits,
    TakesBack,
    /// It stays as it is: a savepoint, a setting.
    Stays,
}

impl Control {
    /// Of a statement whose conduct is [`Conduct::Control`].
    pub(crate) fn of(dialect: Dialect, statement: &Statement) -> Self {
        let words = lex(dialect, &statement.text).unwrap_or_default();
        let has = |word: &str| words.iter().any(|found| found.is(word));
        match words.first() {
            Some(first) if first.is_any(&["BEGIN", "START"]) => Self::Begins,
            Some(first) if first.is_any(&["COMMIT", "END"]) => Self::Commits,
            Some(first) if first.is_any(&["ROLLBACK", "ABORT"]) && !has("TO") => Self::TakesBack,
            _ => Self::Stays,
        }
    }
}

/// Whether `statement` does nothing but set something in its session.
pub(super) fn sets(dialect: Dialect, statement: &Statement) -> bool {
    let words = lex(dialect, &statement.text).unwrap_or_default();
    words.first().is_some_and(|word| word.is_any(&["SET", "USE", "PRAGMA"]))
}
