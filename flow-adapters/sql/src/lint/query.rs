//! Statements on rows that a parser has found well formed: which tables they name, for MariaDB, MySQL and SQLite.

use std::collections::BTreeSet;

use crate::lex::Token;

use super::catalogue::Catalogue;
use super::impact::LockMode;
use super::judge::Draft;

const ROWS: (&str, &str) = (
    "rows are read or written where they stand",
    "https://mariadb.com/kb/en/innodb-lock-modes/; https://www.sqlite.org/lockingv3.html",
);

/// Locks with `mode` what a statement writes, and scans what it reads.
pub(crate) fn rows(catalogue: &Catalogue, draft: &mut Draft, tokens: &[Token<'_>], mode: LockMode) {
    draft.rule(ROWS);
    let with: BTreeSet<String> = tokens
        .windows(2)
        .filter(|pair| {
            pair.iter().any(|token| token.is("AS")) && tokens.first().is_some_and(|token| token.is("WITH"))
        })
        .filter_map(|pair| pair.first()?.identifier())
        .collect();
    let read = names_after(tokens, &["FROM", "JOIN", "UPDATE", "USING"]);
    for table in read.iter().filter(|table| !with.contains(*table)) {
        draft.scan(&catalogue.resolve(table));
    }
    let writes = tokens.iter().any(|token| token.is_any(&["INSERT", "UPDATE", "DELETE", "REPLACE"]));
    let mut written = names_after(tokens, &["INTO", "UPDATE"]);
    if written.is_empty() && writes {
        written = names_after(tokens, &["FROM"]).into_iter().take(1).collect();
    }
    for table in written.iter().filter(|_| writes) {
        draft.lock(&catalogue.resolve(table), mode);
    }
    let changes = tokens.iter().any(|token| token.is_any(&["UPDATE", "DELETE"]));
    let empty = |table: &String| {
        catalogue.fresh.contains(table)
            || catalogue.tables.get(table).is_some_and(|known| known.rows == Some(0))
    };
    if changes && !tokens.iter().any(|token| token.is_any(&["WHERE", "LIMIT"])) && !written.iter().all(empty)
    {
        draft.advise(
            "whole-table-written",
            format!("every row of `{}` is locked until the transaction ends", written.join("`, `")),
            "backfill in batches, each in a transaction of its own",
        );
    }
}

/// The names, without their schemas, that stand behind any of `words`.
pub(crate) fn names_after(tokens: &[Token<'_>], words: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_any(words)) {
        let mut rest = tokens.iter().skip(at + 1).peekable();
        while rest
            .next_if(|token| token.is_any(&["IGNORE", "LOW_PRIORITY", "IF", "NOT", "EXISTS", "OR", "TABLE"]))
            .is_some()
        {}
        let Some(mut name) = rest.next() else { continue };
        while rest.next_if(|token| token.is_symbol(".")).is_some() {
            let Some(next) = rest.next() else { break };
            name = next;
        }
        // A bracket begins a query of its own.
        if let Some(name) = name.identifier() {
            names.push(name);
        }
    }
    names
}
