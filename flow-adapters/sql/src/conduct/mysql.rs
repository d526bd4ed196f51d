//! MySQL and MariaDB: whatever changes the schema or the rights commits, see
//! <https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html>.

use super::{Conduct, Words};

/// What leaves a transaction as it is.
const WITHIN: [&str; 23] = [
    "DEALLOCATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DO",
    "EXPLAIN",
    "GET",
    "HANDLER",
    "HELP",
    "INSERT",
    "KILL",
    "LOAD",
    "PREPARE",
    "REPLACE",
    "RESIGNAL",
    "SELECT",
    "SET",
    "SHOW",
    "SIGNAL",
    "TABLE",
    "UPDATE",
    "USE",
    "VALUES",
];

pub(super) fn conduct(words: &Words<'_>) -> Conduct {
    let control = ["COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA"];
    let block = words.begin(&["BEGIN", "NOT"]);
    if words.is(0, &control)
        || (words.is(0, &["BEGIN"]) && !block)
        || words.begin(&["START", "TRANSACTION"])
        || (words.is(0, &["SET"]) && words.have(&["AUTOCOMMIT"]))
    {
        return Conduct::Control;
    }
    // `SET STATEMENT .. FOR` runs what follows; a common table expression may begin with a bracket.
    let within = words.is(0, &WITHIN)
        || words.is(0, &["WITH"])
        || words.get(0).is_none_or(|first| first.is_symbol("("));
    let commits =
        (words.is(0, &["SET"]) && words.is(1, &["PASSWORD", "STATEMENT"])) || words.begin(&["LOAD", "INDEX"]);
    let temporary = words.is(0, &["CREATE", "DROP"]) && words.are_temporary();
    if temporary || (within && !commits) { Conduct::Within } else { Conduct::Commits }
}

pub(super) fn changes_session(words: &Words<'_>) -> bool {
    match words.get(0) {
        Some(first) if first.is("SET") => !words.is(1, &["GLOBAL", "PERSIST", "PASSWORD", "STATEMENT"]),
        // A variable or a named lock can hide in any expression.
        Some(first) if first.is_any(&["SELECT", "WITH", "DO", "VALUES"]) => {
            words.have(&["GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"])
                || words.have_in_row(&["INTO", "@"])
                || words.have_in_row(&[":", "="])
        }
        Some(first) if first.is_any(&["INSERT", "REPLACE", "UPDATE", "DELETE"]) => {
            words.have_in_row(&[":", "="])
        }
        Some(first) if first.is_any(&["CREATE", "DROP"]) => words.are_temporary(),
        // What they run may set whatever it likes.
        Some(first) => first.is_any(&[
            "USE",
            "LOCK",
            "UNLOCK",
            "FLUSH",
            "PREPARE",
            "DEALLOCATE",
            "EXECUTE",
            "CALL",
            "BEGIN",
            "IF",
            "CASE",
            "LOOP",
            "WHILE",
            "REPEAT",
            "FOR",
            "HANDLER",
        ]),
        None => false,
    }
}
