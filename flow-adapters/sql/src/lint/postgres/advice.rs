//! What is better done otherwise: our own lints, which know the catalogue, and squawk's beside them.

use squawk_linter::{Linter, Rule, Version};
use squawk_syntax::{Parse, SourceFile};

use super::super::catalogue::Catalogue;
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::super::types::Type;
use super::alter_table::Alter;

/// Squawk's rules that need to know neither types nor rows, and say more than how a name is spelled.
const RULES: [Rule; 18] = [
    Rule::BanDropColumn,
    Rule::BanDropConstraint,
    Rule::BanDropDatabase,
    Rule::BanDropDefault,
    Rule::BanDropFunction,
    Rule::BanDropSchema,
    Rule::BanDropSequence,
    Rule::BanDropTable,
    Rule::BanDropType,
    Rule::BanDropView,
    Rule::BanDuplicateColumnAssignments,
    Rule::BanSetSchema,
    Rule::BanTruncateCascade,
    Rule::IdentifierTooLong,
    Rule::RenamingColumn,
    Rule::RenamingTable,
    Rule::RequireConcurrentPartitionDetach,
    Rule::RequireConcurrentReindex,
];

/// Those that take away what a running release may use.
const IN_USE: [Rule; 6] = [
    Rule::BanDropColumn,
    Rule::BanDropTable,
    Rule::BanDropView,
    Rule::BanSetSchema,
    Rule::RenamingColumn,
    Rule::RenamingTable,
];

/// Adds what holds for the statement as a whole.
pub(super) fn advise(before: &Catalogue, draft: &mut Draft, parse: &Parse<SourceFile>, text: &str) {
    let blocks = |(relation, mode): (&String, &LockMode)| {
        (*mode >= LockMode::ShareRowExclusive && !before.fresh.contains(relation)).then(|| relation.clone())
    };
    let blocked: Vec<String> = draft.locks().filter_map(blocks).collect();
    if !blocked.is_empty() && !before.session.lock_timeout {
        draft.advise(
            "lock-timeout-missing",
            format!("while it waits for `{}`, everybody else waits behind it", blocked.join("`, `")),
            "SET lock_timeout before it, and try again",
        );
    }
    let mut linter = Linter::from(RULES);
    if let Ok(version) = before.server.version.0.to_string().parse::<Version>() {
        linter.settings.pg_version = version;
    }
    for violation in linter.lint(parse, text) {
        let in_use = IN_USE.contains(&violation.code);
        // What this script itself made is in nobody's use.
        if in_use && blocked.is_empty() {
            continue;
        }
        let instead = if in_use {
            "expand first: add the new beside the old, and drop the old when no running release uses it"
                .to_owned()
        } else {
            violation.help.unwrap_or_default()
        };
        draft.advise(&violation.code.to_string(), violation.message, instead);
    }
}

/// Whether nobody has rows to lose or wait for.
fn is_empty(catalogue: &Catalogue, relation: &str) -> bool {
    catalogue.fresh.contains(relation)
        || catalogue.tables.get(relation).is_some_and(|table| table.rows == Some(0))
}

pub(super) fn required(alter: &mut Alter<'_>, column: &str) {
    if is_empty(alter.catalogue, &alter.relation) {
        return;
    }
    alter.draft.advise(
        "required-column-without-default",
        format!("`{column}` is NOT NULL without a default: it fails where `{}` has rows", alter.relation),
        "give it a constant default, or add it nullable, backfill in batches, and set NOT NULL behind a validated CHECK",
    );
}

pub(super) fn not_null_scanned(alter: &mut Alter<'_>, column: &str) {
    alter.draft.advise(
        "not-null-scanned",
        format!("every row of `{}` is read while nobody else can read or write", alter.relation),
        format!(
            "ADD CHECK ({column} IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT, SET NOT NULL, drop the check"
        ),
    );
}

pub(super) fn retyped(alter: &mut Alter<'_>, column: &str, from: Option<&Type>, to: &Type) {
    let from = from.map_or("a type that is not known", |kind| kind.name.as_str());
    let (lint, instead) = match (from, to.name.as_str()) {
        ("timestamp", "timestamptz") => (
            "timestamp-zone-rewritten",
            "SET timezone = 'UTC' before it, if the values are in UTC: then nothing is written anew",
        ),
        _ => (
            "type-rewritten",
            "add a column of the new type, write both, backfill in batches, switch over, and drop the old one later",
        ),
    };
    let problem = format!(
        "`{column}` goes from {from} to {}: `{}` is written anew while nobody reads it",
        to.name, alter.relation
    );
    alter.draft.advise(lint, problem, instead);
}

pub(super) fn key_checked(alter: &mut Alter<'_>, name: &str) {
    alter.draft.advise(
        "foreign-key-checked",
        format!("every row of `{}` is checked while nobody writes either table", alter.relation),
        format!("ADD CONSTRAINT {name} .. NOT VALID, then VALIDATE CONSTRAINT {name} in a later transaction"),
    );
}

pub(super) fn check_checked(alter: &mut Alter<'_>, name: &str) {
    alter.draft.advise(
        "check-checked",
        format!("every row of `{}` is checked while nobody else can read or write", alter.relation),
        format!("ADD CONSTRAINT {name} .. NOT VALID, then VALIDATE CONSTRAINT {name} in a later transaction"),
    );
}

pub(super) fn index_built(alter: &mut Alter<'_>, name: &str) {
    alter.draft.advise(
        "constraint-builds-index",
        format!("the index of `{name}` is built while nobody else can read or write `{}`", alter.relation),
        format!("CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT {name} .. USING INDEX"),
    );
}

pub(super) fn index_blocks_writes(catalogue: &Catalogue, draft: &mut Draft, table: &str) {
    if !is_empty(catalogue, table) {
        draft.advise(
            "index-blocks-writes",
            format!("nobody writes `{table}` while the index is built"),
            "CREATE INDEX CONCURRENTLY, in a script of its own outside a transaction",
        );
    }
}

pub(super) fn whole_table(catalogue: &Catalogue, draft: &mut Draft, table: &str) {
    if !is_empty(catalogue, table) {
        draft.advise(
            "whole-table-written",
            format!("every row of `{table}` is locked until the transaction ends"),
            "backfill in batches, each in a transaction of its own",
        );
    }
}
