//! SQLite: everything stands in transactions but what works on whole files.

use super::{Conduct, Words};
use crate::lex::Token;

/// Pragmas that read, or whose effect ends with the connection or the transaction. Any other changes the database or is
/// refused inside a transaction. `foreign_keys` is among them though a transaction makes it do nothing: it changes the session.
const PRAGMAS: [&str; 20] = [
    "application_id",
    "case_sensitive_like",
    "collation_list",
    "data_version",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "quick_check",
    "recursive_triggers",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

pub(super) fn conduct(words: &Words<'_>) -> Conduct {
    if words.is(0, &["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"]) {
        Conduct::Control
    } else if words.is(0, &["VACUUM", "ATTACH", "DETACH"])
        || (words.is(0, &["PRAGMA"]) && !is_harmless(words))
    {
        Conduct::Outside
    } else {
        Conduct::Within
    }
}

pub(super) fn changes_session(words: &Words<'_>) -> bool {
    words.is(0, &["PRAGMA", "ATTACH", "DETACH"]) || (words.is(0, &["CREATE"]) && words.are_temporary())
}

fn is_harmless(words: &Words<'_>) -> bool {
    // `PRAGMA schema.name`: the name is what follows the dot.
    let qualified = words.get(2).is_some_and(|dot| dot.is_symbol("."));
    let name = words.get(if qualified { 3 } else { 1 }).and_then(Token::identifier);
    name.is_some_and(|name| PRAGMAS.iter().any(|pragma| name.eq_ignore_ascii_case(pragma)))
}
