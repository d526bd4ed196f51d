//! What an expression does: whether its value is the same for every row, and which functions it calls.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::Catalogue;
use super::tree;

/// The functions of `pg_catalog` of which no overload is volatile, and what looks like one. Without those that nobody
/// calls by name. From 18: `SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
/// GROUP BY proname HAVING bool_and(provolatile <> 'v')`.
static STEADY: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("functions.txt").split_whitespace().collect());

/// Volatile functions that touch no table.
const TABLELESS: [&str; 21] = [
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_unlock",
    "pg_advisory_xact_lock",
    "pg_notify",
    "pg_sleep",
    "pg_try_advisory_lock",
    "random",
    "random_normal",
    "set_config",
    "setseed",
    "setval",
    "timeofday",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
    "pg_relation_size",
];

/// Whether the server evaluates `expression` once for all rows. What is not known is taken for volatile.
pub(super) fn is_steady(catalogue: &Catalogue, expression: &SyntaxNode) -> bool {
    calls(expression).iter().all(|name| is_known_steady(catalogue, name))
}

/// The first function called below `node` whose doings are not known.
pub(super) fn stranger(catalogue: &Catalogue, node: &SyntaxNode) -> Option<String> {
    let known = |name: &String| is_known_steady(catalogue, name) || TABLELESS.contains(&tree::base(name));
    calls(node).into_iter().find(|name| !known(name))
}

fn is_known_steady(catalogue: &Catalogue, name: &str) -> bool {
    STEADY.contains(name.strip_prefix("pg_catalog.").unwrap_or(name))
        || catalogue.steady_functions.contains(tree::base(name))
}

/// The names of the functions that are called below `node`, in syntax of their own aside.
fn calls(node: &SyntaxNode) -> Vec<String> {
    let called = |call: &SyntaxNode| call.children().find(|child| child.kind() != SyntaxKind::ARG_LIST);
    let names = tree::all(node, &[SyntaxKind::CALL_EXPR]).into_iter().filter_map(|call| called(&call));
    names
        .filter(|callee| [SyntaxKind::NAME_REF, SyntaxKind::FIELD_EXPR].contains(&callee.kind()))
        .map(|callee| tree::words(&callee).concat())
        .collect()
}

/// The columns that `check` keeps from being null: those of its conjunctions that say so and nothing else.
pub(super) fn not_null(check: &SyntaxNode) -> BTreeSet<String> {
    let words = tree::words(check);
    let negated = |at: usize| words.get(at.wrapping_sub(1)).is_none_or(|before| before != "is");
    let words_mean_more = words
        .iter()
        .enumerate()
        .any(|(at, word)| ["or", "case"].contains(&word.as_str()) || (word == "not" && negated(at)));
    if words_mean_more {
        return BTreeSet::new();
    }
    let says_so = |part: &[String]| match part {
        [column, is, not, null] if (is.as_str(), not.as_str(), null.as_str()) == ("is", "not", "null") => {
            Some(column.clone())
        }
        _ => None,
    };
    words.split(|word| word == "and").filter_map(says_so).collect()
}
