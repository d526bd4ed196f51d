//! What a script may not do, because it would escape the transaction that its row commits in.

use crate::ledger::TABLES;
use flow_sql::{Dialect, Token, lex};

/// Pragmas that read, or that end with the connection or the transaction. Any other changes the database or the
/// session behind the transaction's back.
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

const CONTROL: [&str; 9] =
    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "VACUUM", "ATTACH", "DETACH"];

/// Why `statement` is refused in a script, if it is.
pub(crate) fn refusal(statement: &str) -> Option<String> {
    let tokens = lex(Dialect::Sqlite, statement).ok()?;
    let first = tokens.first()?;
    if let Some(word) = CONTROL.iter().find(|word| first.is(word)) {
        return Some(format!("`{word}` cannot stand in a migration: it runs in one transaction of its own"));
    }
    if first.is("PRAGMA") {
        return pragma(&tokens);
    }
    let [ours, _] = TABLES;
    let named = |token: &Token<'_>| token.identifier().is_some_and(|name| name.eq_ignore_ascii_case(ours));
    tokens.iter().any(named).then(|| format!("`{ours}` belongs to the migrator"))
}

fn pragma(tokens: &[Token<'_>]) -> Option<String> {
    // `PRAGMA schema.name`: the name is what follows the dot.
    let name = match tokens {
        [_, _, dot, name, ..] if dot.is_symbol(".") => name,
        [_, name, ..] => name,
        _ => return None,
    };
    let name = name.identifier()?.to_ascii_lowercase();
    (!PRAGMAS.contains(&name.as_str()))
        .then(|| format!("`PRAGMA {name}` cannot stand in a migration: it does not end with its transaction"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_would_escape_the_transaction_is_refused() {
        for bad in [
            "BEGIN",
            "begin immediate",
            "/* x */ COMMIT",
            "End Transaction",
            "ROLLBACK TO x",
            "SAVEPOINT x",
            "release x",
            "VACUUM",
            "ATTACH 'x' AS y",
            "PRAGMA journal_mode = WAL",
            "PRAGMA main.journal_mode = WAL",
            "pragma \"synchronous\" = off",
            "PRAGMA writable_schema=1",
            "DROP TABLE _flow_migrations",
            "DELETE FROM [_FLOW_migrations]",
            "INSERT INTO '_flow_migrations' VALUES(1)",
        ] {
            assert!(refusal(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn session_preambles_and_ordinary_statements_are_not_refused() {
        for good in [
            "PRAGMA foreign_keys = OFF",
            "PRAGMA defer_foreign_keys=1",
            "PRAGMA main.user_version = 3",
            "CREATE TABLE commits(begin_at)",
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            "SELECT 'COMMIT', '_flow_migrations is ours'",
        ] {
            assert_eq!(refusal(good), None, "{good}");
        }
    }
}
