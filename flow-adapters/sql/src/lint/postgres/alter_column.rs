//! `ADD`, `DROP`, `ALTER` and `RENAME COLUMN`.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AlterColumnOption as Option_, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Column, Constraint};
use super::super::impact::LockMode;
use super::super::types::Type;
use super::alter_table::Alter;
use super::{advice, constraint, expression, retype, rules, tree};

pub(super) fn add(alter: &mut Alter<'_>, add: &ast::AddColumn) {
    let node = add.syntax();
    alter.lock(LockMode::AccessExclusive);
    let (Some(name), Some(kind)) = (add.column_name(), add.ty()) else { return };
    let name = tree::identifier(&name.syntax().text().to_string());
    let there = alter.known().is_some_and(|table| table.columns.contains_key(&name));
    if there && tree::holds(node, SyntaxKind::IF_NOT_EXISTS) {
        return;
    }
    let written = kind.syntax().text().to_string();
    let column = Definition::read(alter.catalogue, node, &written);
    if column.writes_rows {
        alter.draft.rule(rules::VOLATILE_DEFAULT);
        alter.rewrite();
    }
    if alter.catalogue.domains.get(&column.kind.name).is_some_and(|domain| domain.constrained) {
        alter.draft.rule(rules::CONSTRAINED_DOMAIN);
        alter.rewrite();
    }
    if column.not_null && !column.has_value {
        alter.scan();
        advice::required(alter, &name);
    }
    let made = Column { kind: column.kind, not_null: column.not_null, charset: None };
    alter.change(|table| {
        table.columns.insert(name.clone(), made.clone());
    });
    for below in add.constraints() {
        constraint::of_new_column(alter, below.syntax(), &name, column.has_value);
    }
}

/// What a column's definition says.
pub(super) struct Definition {
    pub(super) kind: Type,
    pub(super) not_null: bool,
    /// Existing rows get a value other than null.
    pub(super) has_value: bool,
    /// That value differs from row to row, or is stored in each.
    pub(super) writes_rows: bool,
}

impl Definition {
    pub(super) fn read(catalogue: &Catalogue, node: &SyntaxNode, written: &str) -> Self {
        let serial = written.to_ascii_lowercase().contains("serial");
        let identity = tree::has(node, SyntaxKind::GENERATED_IDENTITY);
        let generated = tree::first(node, &[SyntaxKind::GENERATED_STORED]);
        // Without a word 18 computes the column when it is read.
        let stored = generated.as_ref().is_some_and(|column| {
            tree::has(column, SyntaxKind::STORED_KW)
                || (catalogue.server.version.0 < 18 && !tree::has(column, SyntaxKind::VIRTUAL))
        });
        let default = tree::first(node, &[SyntaxKind::DEFAULT_CONSTRAINT]);
        let default = default.filter(|default| !tree::words(default).ends_with(&["null".to_owned()]));
        let volatile = default.as_ref().is_some_and(|default| !expression::is_steady(catalogue, default));
        let primary = tree::has(node, SyntaxKind::PRIMARY_KEY_CONSTRAINT);
        Self {
            kind: Type::read(written),
            not_null: serial || identity || primary || tree::has(node, SyntaxKind::NOT_NULL_CONSTRAINT),
            has_value: serial || identity || generated.is_some() || default.is_some(),
            writes_rows: serial || identity || stored || volatile,
        }
    }
}

pub(super) fn drop(alter: &mut Alter<'_>, node: &SyntaxNode) {
    alter.lock(LockMode::AccessExclusive);
    let Some(name) = tree::first(node, &[SyntaxKind::COLUMN_NAME_REF]) else { return };
    let name = tree::name(&name);
    constraint::unbind(alter, |key| key.columns.contains(&name));
    if tree::has(node, SyntaxKind::CASCADE) {
        constraint::drop_dependents(alter, Some(&name));
    }
    alter.change(|table| table.drop_column(&name));
}

pub(super) fn rename(alter: &mut Alter<'_>, rename: &ast::RenameColumn) {
    alter.lock(LockMode::AccessExclusive);
    let (Some(from), Some(to)) = (rename.column_name_ref(), rename.column_name()) else { return };
    let (from, to) = (tree::name(from.syntax()), tree::name(to.syntax()));
    alter.change(|table| table.rename_column(&from, &to));
}

pub(super) fn alter(alter: &mut Alter<'_>, column: &ast::AlterColumn) {
    let Some(name) = column.column_name_ref().map(|name| tree::name(name.syntax())) else { return };
    match column.option() {
        Some(Option_::SetType(change)) => set_type(alter, &name, &change),
        Some(Option_::SetNotNull(_)) => set_not_null(alter, &name),
        Some(Option_::DropNotNull(_)) => {
            alter.lock(LockMode::AccessExclusive);
            set_null(alter, &name, false);
        }
        Some(
            Option_::SetStatistics(_)
            | Option_::SetOptions(_)
            | Option_::ResetOptions(_)
            | Option_::SetOptionsList(_),
        ) => {
            alter.lock(LockMode::ShareUpdateExclusive);
        }
        Some(Option_::SetExpression(_)) => {
            alter.lock(LockMode::AccessExclusive);
            alter.draft.rule(rules::VOLATILE_DEFAULT);
            alter.rewrite();
        }
        Some(_) | None => alter.lock(LockMode::AccessExclusive),
    }
}

fn set_null(alter: &mut Alter<'_>, name: &str, not_null: bool) {
    alter.change(|table| {
        if let Some(column) = table.columns.get_mut(name) {
            column.not_null = not_null;
        }
    });
}

fn set_not_null(alter: &mut Alter<'_>, name: &str) {
    alter.lock(LockMode::AccessExclusive);
    let known = alter.known();
    let already = known.and_then(|table| table.columns.get(name)).is_some_and(|column| column.not_null);
    if known.is_some_and(|table| table.is_checked_not_null(name)) {
        alter.draft.rule(rules::KNOWN_NOT_NULL);
    } else if !already {
        alter.draft.rule(rules::VALIDATION);
        alter.scan();
        advice::not_null_scanned(alter, name);
    }
    set_null(alter, name, true);
}

fn set_type(alter: &mut Alter<'_>, name: &str, change: &ast::SetType) {
    alter.lock(LockMode::AccessExclusive);
    alter.draft.rule(rules::RETYPE);
    let Some(to) = change.ty().map(|kind| Type::read(&kind.syntax().text().to_string())) else { return };
    let from = alter.known().and_then(|table| table.columns.get(name)).map(|column| column.kind.clone());
    let plain = change.using_expr().is_none_or(|using| is_plain(using.syntax(), name, &to));
    let keeps = plain && from.as_ref().is_some_and(|from| !retype::rewrites(alter.catalogue, from, &to));
    if keeps {
        let same_indexes = change.collate().is_none()
            && from.as_ref().is_some_and(|from| retype::keeps_indexes(alter.catalogue, from, &to));
        if rebuilds(alter, name, same_indexes) {
            alter.draft.rule(rules::DEPENDENTS);
            alter.scan();
        }
    } else {
        alter.rewrite();
        advice::retyped(alter, name, from.as_ref(), &to);
    }
    remake_keys(alter, name, keeps);
    let kind = to;
    alter.change(|table| {
        if let Some(column) = table.columns.get_mut(name) {
            column.kind = kind.clone();
        }
    });
}

/// Whether `USING` says no more than the cast that is made anyway.
fn is_plain(using: &SyntaxNode, name: &str, to: &Type) -> bool {
    let Some(inner) = using.children().next() else { return false };
    let is_column = |node: &SyntaxNode| node.kind() == SyntaxKind::NAME_REF && tree::name(node) == name;
    if is_column(&inner) {
        return true;
    }
    let mut parts = inner.children().filter(|part| part.kind() != SyntaxKind::COLON_COLON);
    inner.kind() == SyntaxKind::CAST_EXPR
        && parts.next().is_some_and(|operand| is_column(&operand))
        && parts.next().is_some_and(|kind| Type::read(&kind.text().to_string()) == *to)
}

/// Whether something that depends on the column is made again from the rows, though the table is not written anew.
fn rebuilds(alter: &Alter<'_>, name: &str, same_indexes: bool) -> bool {
    alter.known().is_some_and(|table| {
        let checked = table
            .constraints
            .values()
            .any(|check| check.check && check.valid && check.columns.contains(name));
        let indexed = table
            .indexes
            .values()
            .any(|index| index.columns.contains(name) && !(same_indexes && index.plain));
        checked || indexed
    })
}

/// Foreign keys from and to the column are dropped and made again, which locks both tables.
fn remake_keys(alter: &mut Alter<'_>, name: &str, keeps: bool) {
    let uses = |key: &Constraint| key.columns.contains(name);
    let own = alter.known().into_iter().flat_map(|table| table.constraints.values().filter(|key| uses(key)));
    let mut others: BTreeSet<String> = own.filter_map(|key| key.references.clone()).collect();
    let pointing = alter.catalogue.pointing_to(&alter.relation);
    others.extend(pointing.into_iter().filter(|(_, columns)| columns.contains(name)).map(|(table, _)| table));
    for other in others {
        alter.draft.rule(rules::FOREIGN_KEY);
        alter.draft.lock(&other, LockMode::AccessExclusive);
        if !keeps {
            alter.draft.scan(&other);
        }
    }
}
