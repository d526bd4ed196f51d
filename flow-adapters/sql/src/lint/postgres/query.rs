//! Statements that read and write rows.

use std::collections::BTreeSet;

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Kind};
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::{advice, expression, rules, tree};

/// Locks and scans what a statement reads, and locks what it writes.
pub(super) fn rows(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::ROWS);
    if let Some(function) = expression::stranger(catalogue, node) {
        draft.unread(format!("what the function `{function}` does is not known"));
    }
    for (relation, mode) in sources(catalogue, node) {
        read(catalogue, draft, &relation, mode);
    }
    let writers = [SyntaxKind::INSERT, SyntaxKind::UPDATE, SyntaxKind::DELETE, SyntaxKind::MERGE];
    for writer in tree::all(node, &writers) {
        write(catalogue, draft, &writer);
    }
    if node.kind() == SyntaxKind::COPY {
        copy(catalogue, draft, node);
    }
}

/// The relations in `FROM` and their like, views and tables below them, with the lock that reading them takes.
pub(super) fn sources(catalogue: &Catalogue, node: &SyntaxNode) -> Vec<(String, LockMode)> {
    let with: BTreeSet<String> = tree::all(node, &[SyntaxKind::WITH_TABLE])
        .iter()
        .filter_map(|table| table.children().next().map(|name| tree::name(&name)))
        .collect();
    let locking = tree::has(node, SyntaxKind::LOCKING_CLAUSE);
    let mode = if locking { LockMode::RowShare } else { LockMode::AccessShare };
    let items = tree::all(node, &[SyntaxKind::RELATION_FROM_ITEM, SyntaxKind::TABLE]);
    let names = items.iter().filter_map(|item| {
        let name = tree::first(item, &[SyntaxKind::RELATION_NAME_REF, SyntaxKind::TABLE_NAME_REF])?;
        Some(tree::name(&name)).filter(|name| !with.contains(name))
    });
    names.map(|name| (catalogue.resolve(&name), mode)).collect()
}

fn read(catalogue: &Catalogue, draft: &mut Draft, relation: &str, mode: LockMode) {
    if relation.starts_with("pg_catalog.") || relation.starts_with("information_schema.") {
        return;
    }
    for member in catalogue.family(relation) {
        draft.lock(&member, mode);
        match catalogue.tables.get(&member) {
            Some(view) if view.kind == Kind::View => {
                for below in &view.reads {
                    read(catalogue, draft, below, mode);
                }
            }
            Some(parent) if parent.kind == Kind::Partitioned => {}
            _ => draft.scan(&member),
        }
    }
}

fn write(catalogue: &Catalogue, draft: &mut Draft, writer: &SyntaxNode) {
    let kinds = [SyntaxKind::RELATION_NAME_REF, SyntaxKind::TABLE_NAME_REF];
    // The target stands before what follows; a WITH clause before it has a node of its own.
    let target = writer.children().filter(|child| child.kind() != SyntaxKind::WITH_CLAUSE);
    let Some(name) = target.filter_map(|child| tree::first(&child, &kinds)).next() else { return };
    let relation = catalogue.resolve(&tree::name(&name));
    let insert = writer.kind() == SyntaxKind::INSERT;
    for member in catalogue.family(&relation) {
        draft.lock(&member, LockMode::RowExclusive);
        if !insert && catalogue.tables.get(&member).is_none_or(|table| table.kind != Kind::Partitioned) {
            draft.scan(&member);
        }
    }
    if writer.kind() != SyntaxKind::INSERT && !tree::has(writer, SyntaxKind::WHERE_CLAUSE) {
        advice::whole_table(catalogue, draft, &relation);
    }
    let set: BTreeSet<String> =
        tree::first(writer, &[SyntaxKind::SET_CLAUSE]).map(|set| tree::columns(&set)).unwrap_or_default();
    let keys = catalogue.tables.get(&relation).into_iter().flat_map(|table| table.constraints.values());
    for key in keys.filter(|key| insert || !key.columns.is_disjoint(&set)) {
        if let Some(other) = &key.references {
            draft.lock(other, LockMode::RowShare);
        }
    }
}

fn copy(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let Some(table) = tree::first(node, &[SyntaxKind::COPY_TABLE]) else { return };
    let relation = catalogue.resolve(&tree::name(&table));
    if tree::holds(node, SyntaxKind::COPY_FROM) || tree::holds(node, SyntaxKind::FROM_KW) {
        draft.lock(&relation, LockMode::RowExclusive);
    } else {
        read(catalogue, draft, &relation, LockMode::AccessShare);
    }
}
