//! How a script's statements stand to transactions.

use flow_sql::{Dialect, Statement, Token, lex};

use crate::scripts::Mode;

/// How one statement stands to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    /// It may stand in one.
    Within,
    /// It commits the one it stands in, and itself.
    Commits,
    /// It must stand outside.
    Outside,
    /// It begins or ends one.
    Control,
}

impl Conduct {
    pub(super) fn of(dialect: Dialect, statement: &str) -> Self {
        let words = lex(dialect, statement).unwrap_or_default();
        let is = |at: usize, any: &[&str]| words.get(at).is_some_and(|word| word.is_any(any));
        if is(0, &["BEGIN", "COMMIT", "ROLLBACK", "START", "SAVEPOINT", "RELEASE", "END", "ABORT"]) {
            return Self::Control;
        }
        match dialect {
            Dialect::Postgres if outside_postgres(&words) => Self::Outside,
            Dialect::Sqlite if is(0, &["VACUUM", "ATTACH", "DETACH", "PRAGMA"]) => Self::Outside,
            Dialect::Mysql if is(0, &COMMITTING) && !is(1, &["TEMPORARY"]) => Self::Commits,
            _ => Self::Within,
        }
    }
}

/// Whether a script runs statement by statement: it asks for that, or one of its statements allows nothing else.
pub(super) fn stepwise(dialect: Dialect, mode: Mode, statements: &[Statement]) -> bool {
    let alone = |statement: &Statement| {
        // The reader lets no pragma pass that a transaction could not hold.
        let pragma =
            lex(dialect, &statement.text).unwrap_or_default().first().is_some_and(|word| word.is("PRAGMA"));
        !pragma && Conduct::of(dialect, &statement.text) != Conduct::Within
    };
    mode == Mode::Statements || statements.iter().any(alone)
}

/// Whether a statement that controls transactions begins one.
pub(super) fn begins(dialect: Dialect, statement: &str) -> bool {
    lex(dialect, statement)
        .unwrap_or_default()
        .first()
        .is_some_and(|word| word.is("BEGIN") || word.is("START"))
}

/// Whether a statement that controls transactions commits one.
pub(super) fn commits(dialect: Dialect, statement: &str) -> bool {
    lex(dialect, statement)
        .unwrap_or_default()
        .first()
        .is_some_and(|word| word.is("COMMIT") || word.is("END"))
}

const COMMITTING: [&str; 19] = [
    "ALTER",
    "CREATE",
    "DROP",
    "RENAME",
    "TRUNCATE",
    "GRANT",
    "REVOKE",
    "LOCK",
    "UNLOCK",
    "ANALYZE",
    "OPTIMIZE",
    "REPAIR",
    "CHECK",
    "FLUSH",
    "INSTALL",
    "UNINSTALL",
    "CACHE",
    "RESET",
    "CALL",
];

fn outside_postgres(words: &[Token<'_>]) -> bool {
    let has = |word: &str| words.iter().any(|found| found.is(word));
    let first = |any: &[&str]| words.first().is_some_and(|word| word.is_any(any));
    let second = |any: &[&str]| words.get(1).is_some_and(|word| word.is_any(any));
    first(&["VACUUM"])
        || (has("CONCURRENTLY") && first(&["CREATE", "DROP", "REINDEX"]) && has("INDEX"))
        || (first(&["REINDEX"]) && (has("CONCURRENTLY") || second(&["DATABASE", "SYSTEM"])))
        || (first(&["CREATE", "DROP"]) && second(&["DATABASE", "TABLESPACE"]))
        || (first(&["ALTER"]) && second(&["SYSTEM"]))
}

/// Whether `statement` does nothing but set something in its session.
pub(super) fn sets(dialect: Dialect, statement: &str) -> bool {
    let words = lex(dialect, statement).unwrap_or_default();
    words.first().is_some_and(|word| word.is_any(&["SET", "USE", "PRAGMA"]))
}

/// Whether `statement` may leave something behind in its session.
pub(super) fn changes_session(dialect: Dialect, statement: &str) -> bool {
    let words = lex(dialect, statement).unwrap_or_default();
    let temporary = words.iter().take(4).any(|word| word.is("TEMP") || word.is("TEMPORARY"));
    let first: &[&str] = match dialect {
        // Functions may set what they like.
        Dialect::Postgres => {
            &["SET", "RESET", "SELECT", "DO", "CALL", "PREPARE", "LISTEN", "DECLARE", "LOAD", "WITH"]
        }
        Dialect::Mysql => &["SET", "USE", "LOCK", "CALL", "PREPARE", "SELECT"],
        Dialect::Sqlite => &["PRAGMA", "ATTACH", "DETACH"],
    };
    temporary || words.first().is_some_and(|word| word.is_any(first))
}
