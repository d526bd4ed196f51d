//! PostgreSQL: schema statements stand in transactions, apart from those that
//! <https://www.postgresql.org/docs/current/sql-commands.html> says cannot.

use super::{Conduct, Words};

pub(super) fn conduct(words: &Words<'_>) -> Conduct {
    let control = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"];
    if words.is(0, &control) || words.begin(&["PREPARE", "TRANSACTION"]) {
        Conduct::Control
    } else if outside(words) {
        Conduct::Outside
    } else {
        Conduct::Within
    }
}

fn outside(words: &Words<'_>) -> bool {
    let concurrently = || words.have(&["CONCURRENTLY"]);
    match words.get(0) {
        Some(first) if first.is("VACUUM") => true,
        Some(first) if first.is_any(&["CREATE", "DROP"]) => {
            words.is(1, &["DATABASE", "TABLESPACE", "SUBSCRIPTION"])
                || (words.is(1, &["INDEX", "UNIQUE"]) && concurrently())
        }
        Some(first) if first.is("REINDEX") => concurrently() || words.have(&["DATABASE", "SYSTEM", "SCHEMA"]),
        Some(first) if first.is("ALTER") => {
            words.is(1, &["SYSTEM"])
                || (words.is(1, &["DATABASE"]) && words.have_in_row(&["SET", "TABLESPACE"]))
                || (words.is(1, &["SUBSCRIPTION"]) && words.have(&["REFRESH", "PUBLICATION"]))
                || (words.is(1, &["TABLE"]) && words.have(&["DETACH"]) && concurrently())
        }
        // Without a table it goes through all of them, each in a transaction of its own.
        Some(first) if first.is("CLUSTER") => {
            words.get(1).is_none() || words.is(1, &["VERBOSE"]) && words.get(2).is_none()
        }
        Some(first) if first.is("DISCARD") => words.is(1, &["ALL"]),
        _ => false,
    }
}

pub(super) fn changes_session(words: &Words<'_>) -> bool {
    match words.get(0) {
        Some(first) if first.is("SET") => !words.is(1, &["LOCAL", "TRANSACTION", "CONSTRAINTS"]),
        // What they call may set whatever it likes.
        Some(first) if first.is_any(&["SELECT", "WITH", "VALUES", "DO", "CALL", "EXECUTE"]) => true,
        Some(first) if first.is("CREATE") => words.are_temporary(),
        Some(first) => first.is_any(&[
            "RESET",
            "DISCARD",
            "PREPARE",
            "DEALLOCATE",
            "LISTEN",
            "UNLISTEN",
            "LOAD",
            "DECLARE",
        ]),
        None => false,
    }
}
