use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Constraint, Index, Table};
use super::super::impact::LockMode;
use super::alter_table::Alter;
use super::{advice, expression, rules, tree};

const KINDS: [SyntaxKind; 7] = [
    SyntaxKind::FOREIGN_KEY_CONSTRAINT,
    SyntaxKind::REFERENCES_CONSTRAINT,
    SyntaxKind::CHECK_CONSTRAINT,
    SyntaxKind::PRIMARY_KEY_CONSTRAINT,
    SyntaxKind::UNIQUE_CONSTRAINT,
    SyntaxKind::EXCLUDE_CONSTRAINT,
    SyntaxKind::NOT_NULL_CONSTRAINT,
];

/// `ADD CONSTRAINT`.
pub(super) fn add(alter: &mut Alter<'_>, node: &SyntaxNode) {
    let Some(node) = tree::first(node, &KINDS) else {
        return alter.draft.unread("the constraint is not known");
    };
    let made = Made::read(alter.catalogue, &alter.relation, &node, None);
    let checked = made.constraint.valid;
    match node.kind() {
        SyntaxKind::FOREIGN_KEY_CONSTRAINT => {
            alter.draft.rule(rules::FOREIGN_KEY);
            alter.lock(LockMode::ShareRowExclusive);
            if let Some(other) = &made.constraint.references {
                alter.draft.lock(other, LockMode::ShareRowExclusive);
                if checked {
                    alter.draft.scan(other);
                    alter.scan();
                    advice::key_checked(alter, &made.name);
                }
            }
        }
        SyntaxKind::CHECK_CONSTRAINT | SyntaxKind::NOT_NULL_CONSTRAINT => {
            alter.draft.rule(rules::VALIDATION);
            alter.lock(LockMode::AccessExclusive);
            if checked {
                alter.scan();
                advice::check_checked(alter, &made.name);
            }
        }
        _ => indexed(alter, &node, &made),
    }
    alter.change(|table| made.clone().put(table));
}

/// A primary key, unique or exclusion constraint: its index is built, or was built before.
fn indexed(alter: &mut Alter<'_>, node: &SyntaxNode, made: &Made) {
    alter.draft.rule(rules::INDEX);
    alter.lock(LockMode::AccessExclusive);
    let primary = node.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT;
    if tree::has(node, SyntaxKind::USING_INDEX_NAME) {
        let known = alter.known();
        let nullable = made.constraint.columns.iter().any(|column| {
            known.and_then(|table| table.columns.get(column)).is_none_or(|column| !column.not_null)
        });
        if primary && nullable {
            alter.draft.rule(rules::VALIDATION);
            alter.scan();
        }
    } else {
        alter.scan();
        advice::index_built(alter, &made.name);
    }
    if primary {
        alter.change(|table| {
            for column in &made.constraint.columns {
                if let Some(column) = table.columns.get_mut(column) {
                    column.not_null = true;
                }
            }
        });
    }
}

/// What a constraint of a column that is added costs beyond the column itself.
pub(super) fn of_new_column(alter: &mut Alter<'_>, node: &SyntaxNode, column: &str, has_value: bool) {
    if !KINDS.contains(&node.kind()) || node.kind() == SyntaxKind::NOT_NULL_CONSTRAINT {
        return;
    }
    let made = Made::read(alter.catalogue, &alter.relation, node, Some(column));
    match node.kind() {
        SyntaxKind::REFERENCES_CONSTRAINT => {
            alter.draft.rule(rules::FOREIGN_KEY);
            if let Some(other) = &made.constraint.references {
                alter.draft.lock(other, LockMode::ShareRowExclusive);
                // All rows have null there otherwise, which refers to nothing.
                if has_value {
                    alter.draft.scan(other);
                    alter.scan();
                }
            }
        }
        SyntaxKind::CHECK_CONSTRAINT => {
            alter.draft.rule(rules::VALIDATION);
            alter.scan();
        }
        _ => {
            alter.draft.rule(rules::INDEX);
            alter.scan();
        }
    }
    alter.change(|table| made.clone().put(table));
}

/// `VALIDATE CONSTRAINT`.
pub(super) fn validate(alter: &mut Alter<'_>, node: &SyntaxNode) {
    alter.lock(LockMode::ShareUpdateExclusive);
    let Some(name) = tree::first(node, &[SyntaxKind::CONSTRAINT_NAME_REF]).map(|name| tree::name(&name))
    else {
        return;
    };
    let known = alter.known().and_then(|table| table.constraints.get(&name)).cloned();
    if known.as_ref().is_some_and(|constraint| constraint.valid) {
        return;
    }
    alter.draft.rule(rules::VALIDATION);
    alter.scan();
    match known.and_then(|constraint| constraint.references.or(Some(String::new()))) {
        Some(other) if other.is_empty() => {}
        Some(other) => {
            alter.draft.lock(&other, LockMode::RowShare);
            alter.draft.scan(&other);
        }
        None => alter.draft.unread("what the constraint refers to is not known"),
    }
    alter.change(|table| {
        if let Some(constraint) = table.constraints.get_mut(&name) {
            constraint.valid = true;
        }
    });
}

/// `DROP CONSTRAINT`.
pub(super) fn drop(alter: &mut Alter<'_>, node: &SyntaxNode) {
    alter.lock(LockMode::AccessExclusive);
    let Some(name) = tree::first(node, &[SyntaxKind::CONSTRAINT_NAME_REF]).map(|name| tree::name(&name))
    else {
        return;
    };
    let known = alter.known().and_then(|table| table.constraints.get(&name)).cloned();
    if known.is_none() && !alter.catalogue.complete {
        alter.draft.unread("whether the constraint refers to another table is not known");
    }
    if let Some(other) = known.and_then(|key| key.references) {
        alter.draft.rule(rules::FOREIGN_KEY);
        alter.draft.lock(&other, LockMode::AccessExclusive);
    }
    if tree::has(node, SyntaxKind::CASCADE) {
        drop_dependents(alter, None);
    }
    alter.change(|table| {
        table.constraints.remove(&name);
        table.indexes.remove(&name);
    });
}

pub(super) fn rename(alter: &mut Alter<'_>, rename: &ast::RenameConstraint) {
    alter.lock(LockMode::AccessExclusive);
    let (Some(from), Some(to)) = (rename.constraint_name_ref(), rename.constraint_name()) else { return };
    let (from, to) = (tree::name(from.syntax()), tree::name(to.syntax()));
    alter.change(|table| {
        if let Some(constraint) = table.constraints.remove(&from) {
            table.constraints.insert(to.clone(), constraint);
        }
        if let Some(index) = table.indexes.remove(&from) {
            table.indexes.insert(to.clone(), index);
        }
    });
}

/// Locks what the relation's foreign keys that are meant point to, because they go.
pub(super) fn unbind(alter: &mut Alter<'_>, meant: impl Fn(&Constraint) -> bool) {
    let keys =
        alter.known().into_iter().flat_map(|table| table.constraints.values().filter(|key| meant(key)));
    let others: Vec<_> = keys.filter_map(|key| key.references.clone()).collect();
    for other in others {
        alter.draft.rule(rules::FOREIGN_KEY);
        alter.draft.lock(&other, LockMode::AccessExclusive);
    }
}

/// Locks the tables and views that lose something to `CASCADE`.
pub(super) fn drop_dependents(alter: &mut Alter<'_>, column: Option<&str>) {
    for (pointing, columns) in alter.catalogue.pointing_to(&alter.relation) {
        if column.is_none_or(|column| columns.contains(column)) {
            alter.draft.lock(&pointing, LockMode::AccessExclusive);
        }
    }
    if column.is_some() {
        for view in alter.catalogue.views_of(&alter.relation) {
            alter.draft.lock(&view, LockMode::AccessExclusive);
        }
    }
}

/// A constraint as it will stand in the catalogue.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) constraint: Constraint,
    index: Option<Index>,
}

impl Made {
    /// Reads the constraint of a table, or of its column `of`.
    pub(super) fn read(catalogue: &Catalogue, relation: &str, node: &SyntaxNode, of: Option<&str>) -> Self {
        let known = catalogue.tables.get(relation);
        let own = of.map(|column| BTreeSet::from([column.to_owned()]));
        let using = tree::first(node, &[SyntaxKind::USING_INDEX_NAME]).map(|index| tree::name(&index));
        let lists = tree::all(node, &[SyntaxKind::FOREIGN_KEY_COLUMN_LIST]);
        let mut columns = own.unwrap_or_else(|| match (node.kind(), lists.first()) {
            (SyntaxKind::FOREIGN_KEY_CONSTRAINT, Some(list)) => tree::columns(list),
            _ => tree::columns(node),
        });
        if let Some(index) = using.as_ref().and_then(|name| known?.indexes.get(tree::base(name))) {
            columns.clone_from(&index.columns);
        }
        let references = tree::first(node, &[SyntaxKind::TABLE_NAME_REF])
            .map(|name| catalogue.resolve(&tree::name(&name)));
        let referenced = references.as_ref().map(|other| referenced(catalogue, node, &lists, other));
        let check = node.kind() == SyntaxKind::CHECK_CONSTRAINT;
        let (not_valid, not_enforced) =
            (tree::has(node, SyntaxKind::NOT_VALID), tree::has(node, SyntaxKind::NOT_ENFORCED));
        let indexed = [
            SyntaxKind::PRIMARY_KEY_CONSTRAINT,
            SyntaxKind::UNIQUE_CONSTRAINT,
            SyntaxKind::EXCLUDE_CONSTRAINT,
        ];
        let index = indexed.contains(&node.kind()).then(|| Index {
            columns: columns.clone(),
            primary: node.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT,
            plain: node.kind() != SyntaxKind::EXCLUDE_CONSTRAINT,
        });
        let written = tree::first(node, &[SyntaxKind::CONSTRAINT_NAME]).map(|name| tree::name(&name));
        Self {
            name: written.unwrap_or_else(|| default_name(relation, node, &columns)),
            constraint: Constraint {
                not_null: match node.kind() {
                    SyntaxKind::CHECK_CONSTRAINT => checked_not_null(node),
                    SyntaxKind::NOT_NULL_CONSTRAINT => columns.clone(),
                    _ => BTreeSet::new(),
                },
                columns,
                references,
                referenced: referenced.unwrap_or_default(),
                check,
                valid: !not_valid && !not_enforced,
            },
            index,
        }
    }

    pub(super) fn put(self, table: &mut Table) {
        if let Some(index) = self.index {
            table.indexes.insert(self.name.clone(), index);
        }
        table.constraints.insert(self.name, self.constraint);
    }
}

/// The columns that a foreign key points to: those that it names, else the other table's primary key.
fn referenced(
    catalogue: &Catalogue,
    node: &SyntaxNode,
    lists: &[SyntaxNode],
    other: &str,
) -> BTreeSet<String> {
    let written = match node.kind() {
        SyntaxKind::FOREIGN_KEY_CONSTRAINT => lists.get(1).map(tree::columns),
        _ => Some(tree::columns(node)).filter(|columns| !columns.is_empty()),
    };
    let primary = || {
        let indexes = catalogue.tables.get(other)?.indexes.values().find(|index| index.primary)?;
        Some(indexes.columns.clone())
    };
    written.or_else(primary).unwrap_or_default()
}

fn checked_not_null(node: &SyntaxNode) -> BTreeSet<String> {
    let expression = node.children().find(|child| {
        ![SyntaxKind::CONSTRAINT_NAME_CLAUSE, SyntaxKind::NOT_VALID, SyntaxKind::NO_INHERIT]
            .contains(&child.kind())
    });
    expression.map(|expression| expression::not_null(&expression)).unwrap_or_default()
}

/// The name that the server gives (`ChooseConstraintName`).
fn default_name(relation: &str, node: &SyntaxNode, columns: &BTreeSet<String>) -> String {
    let table = tree::base(relation);
    // In the order of the text, which a set does not keep.
    let text: Vec<_> = tree::words(node).into_iter().filter(|word| columns.contains(word)).collect();
    let mut listed: Vec<String> = Vec::new();
    for column in text.into_iter().chain(columns.iter().cloned()) {
        if !listed.contains(&column) {
            listed.push(column);
        }
    }
    let listed = listed.join("_");
    match node.kind() {
        SyntaxKind::PRIMARY_KEY_CONSTRAINT => format!("{table}_pkey"),
        SyntaxKind::CHECK_CONSTRAINT if columns.len() != 1 => format!("{table}_check"),
        SyntaxKind::CHECK_CONSTRAINT => format!("{table}_{listed}_check"),
        SyntaxKind::UNIQUE_CONSTRAINT => format!("{table}_{listed}_key"),
        SyntaxKind::EXCLUDE_CONSTRAINT => format!("{table}_{listed}_excl"),
        SyntaxKind::NOT_NULL_CONSTRAINT => format!("{table}_{listed}_not_null"),
        _ => format!("{table}_{listed}_fkey"),
    }
}
