//! How a script's statements stand to transactions.

use flow_sql::Dialect;

use crate::engine::words::{Word, words};
use crate::scripts::Mode;
use crate::split::Statement;

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
        let words = words(statement);
        let is =
            |at: usize, any: &[&str]| words.get(at).is_some_and(|word| any.iter().any(|one| word.is(one)));
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
        let pragma = words(&statement.text).first().is_some_and(|word| word.is("PRAGMA"));
        !pragma && Conduct::of(dialect, &statement.text) != Conduct::Within
    };
    mode == Mode::Statements || statements.iter().any(alone)
}

/// Whether a statement that controls transactions begins one.
pub(super) fn begins(statement: &str) -> bool {
    words(statement).first().is_some_and(|word| word.is("BEGIN") || word.is("START"))
}

/// Whether a statement that controls transactions commits one.
pub(super) fn commits(statement: &str) -> bool {
    words(statement).first().is_some_and(|word| word.is("COMMIT") || word.is("END"))
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

fn outside_postgres(words: &[Word]) -> bool {
    let has = |word: &str| words.iter().any(|found| found.is(word));
    let first = |any: &[&str]| words.first().is_some_and(|word| any.iter().any(|one| word.is(one)));
    let second = |any: &[&str]| words.get(1).is_some_and(|word| any.iter().any(|one| word.is(one)));
    first(&["VACUUM"])
        || (has("CONCURRENTLY") && first(&["CREATE", "DROP", "REINDEX"]) && has("INDEX"))
        || (first(&["REINDEX"]) && (has("CONCURRENTLY") || second(&["DATABASE", "SYSTEM"])))
        || (first(&["CREATE", "DROP"]) && second(&["DATABASE", "TABLESPACE"]))
        || (first(&["ALTER"]) && second(&["SYSTEM"]))
}

/// Whether `statement` may leave something behind in its session.
pub(super) fn changes_session(dialect: Dialect, statement: &str) -> bool {
    let words = words(statement);
    let temporary = words.iter().take(4).any(|word| word.is("TEMP") || word.is("TEMPORARY"));
    let first: &[&str] = match dialect {
        // Functions may set what they like.
        Dialect::Postgres => {
            &["SET", "RESET", "SELECT", "DO", "CALL", "PREPARE", "LISTEN", "DECLARE", "LOAD", "WITH"]
        }
        Dialect::Mysql => &["SET", "USE", "LOCK", "CALL", "PREPARE", "SELECT"],
        Dialect::Sqlite => &["PRAGMA", "ATTACH", "DETACH"],
    };
    temporary || words.first().is_some_and(|word| first.iter().any(|one| word.is(one)))
}
