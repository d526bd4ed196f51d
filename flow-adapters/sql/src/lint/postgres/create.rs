use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Column, Domain, Index, Kind, Table};
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::super::types::Type;
use super::alter_column::Definition;
use super::alter_table::holds_rows;
use super::constraint::Made;
use super::{advice, query, rules, tree};

pub(super) fn table(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let Some(name) = made(catalogue, node) else { return };
    if catalogue.tables.contains_key(&name) && tree::holds(node, SyntaxKind::IF_NOT_EXISTS) {
        return;
    }
    draft.rule(rules::LOCK_TABLE);
    let partitioned = tree::has(node, SyntaxKind::PARTITION_BY);
    let mut table = Table {
        kind: if partitioned { Kind::Partitioned } else { Kind::Table },
        rows: Some(0),
        unlogged: tree::holds(node, SyntaxKind::UNLOGGED),
        ..Table::default()
    };
    for column in node.descendants().filter_map(ast::Column::cast) {
        let Some((column_name, kind)) = column.name().zip(column.ty()) else { continue };
        let read = Definition::read(catalogue, column.syntax(), &kind.syntax().text().to_string());
        let column = Column { kind: read.kind, not_null: read.not_null, charset: None };
        table.columns.insert(tree::name(column_name.syntax()), column);
    }
    inherit(catalogue, draft, node, &name, &mut table);
    catalogue.tables.insert(name.clone(), table);
    catalogue.fresh.insert(name.clone());
    for constraint in node.descendants().filter_map(ast::Constraint::cast) {
        constrain(catalogue, draft, &constraint, &name);
    }
}

/// The name of what is made.
fn made(catalogue: &Catalogue, node: &SyntaxNode) -> Option<String> {
    let name = tree::first(node, &[SyntaxKind::TABLE_NAME, SyntaxKind::VIEW])?;
    Some(catalogue.resolve(&tree::name(&name)))
}

/// `INHERITS`, `PARTITION OF` and `LIKE`.
fn inherit(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode, name: &str, table: &mut Table) {
    let kinds = [SyntaxKind::INHERITS, SyntaxKind::PARTITION_OF, SyntaxKind::LIKE_CLAUSE];
    for clause in tree::all(node, &kinds) {
        let mode = match clause.kind() {
            SyntaxKind::PARTITION_OF => LockMode::AccessExclusive,
            SyntaxKind::INHERITS => LockMode::ShareUpdateExclusive,
            _ => LockMode::AccessShare,
        };
        for other in super::statement::named(catalogue, &clause) {
            draft.lock(&other, mode);
            let Some(parent) = catalogue.tables.get_mut(&other) else { continue };
            if clause.kind() != SyntaxKind::LIKE_CLAUSE {
                parent.children.insert(name.to_owned());
            }
            table.columns.extend(parent.columns.clone());
            let checks = parent.constraints.iter().filter(|(_, constraint)| constraint.check);
            table.constraints.extend(checks.map(|(name, check)| (name.clone(), check.clone())));
        }
    }
}

fn constrain(catalogue: &mut Catalogue, draft: &mut Draft, constraint: &ast::Constraint, table: &str) {
    if matches!(
        constraint,
        ast::Constraint::DefaultConstraint(_)
            | ast::Constraint::GeneratedConstraint(_)
            | ast::Constraint::NullConstraint(_)
    ) {
        return;
    }
    let node = constraint.syntax();
    let column = node.ancestors().find(|above| above.kind() == SyntaxKind::COLUMN);
    let column = column
        .and_then(|column| tree::first(&column, &[SyntaxKind::COLUMN_NAME]))
        .map(|name| tree::name(&name));
    let made = Made::read(catalogue, table, node, column.as_deref());
    if let Some(other) = &made.constraint.references {
        draft.rule(rules::FOREIGN_KEY);
        draft.lock(other, LockMode::ShareRowExclusive);
    }
    let not_null = node.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT;
    if let Some(known) = catalogue.tables.get_mut(table) {
        for column in made.constraint.columns.iter().filter(|_| not_null) {
            if let Some(column) = known.columns.get_mut(column) {
                column.not_null = true;
            }
        }
        made.put(known);
    }
}

pub(super) fn table_as(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    query::rows(catalogue, draft, node);
    if let Some(name) = made(catalogue, node) {
        // Its columns are those of a query that is not run here.
        catalogue.tables.insert(name.clone(), Table::default());
        catalogue.fresh.insert(name);
    }
}

pub(super) fn view(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let Some(name) = made(catalogue, node) else { return };
    let materialized = node.kind() == SyntaxKind::CREATE_MATERIALIZED_VIEW;
    let there = catalogue.tables.contains_key(&name);
    if there && tree::holds(node, SyntaxKind::IF_NOT_EXISTS) {
        return;
    }
    draft.rule(rules::LOCK_TABLE);
    if tree::holds(node, SyntaxKind::OR_REPLACE) && !catalogue.lacks(&name) {
        draft.lock(&name, LockMode::AccessExclusive);
    }
    let reads: BTreeSet<String> = query::sources(catalogue, node).into_iter().map(|(read, _)| read).collect();
    for read in &reads {
        draft.lock(read, LockMode::AccessShare);
    }
    if materialized && !tree::words(node).ends_with(&["with".to_owned(), "no".to_owned(), "data".to_owned()])
    {
        query::rows(catalogue, draft, node);
    }
    let kind = if materialized { Kind::MaterializedView } else { Kind::View };
    catalogue.tables.insert(name.clone(), Table { kind, reads, ..Table::default() });
    if !there {
        catalogue.fresh.insert(name);
    }
}

pub(super) fn index(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let Some(on) = tree::first(node, &[SyntaxKind::TABLE_NAME_REF]) else { return };
    let table = catalogue.resolve(&tree::name(&on));
    let name = tree::first(node, &[SyntaxKind::INDEX]).map(|name| tree::base(&tree::name(&name)).to_owned());
    let there = name.as_ref().is_some_and(|name| catalogue.table_of_index(name).is_some());
    draft.rule(rules::INDEX);
    let concurrently = tree::holds(node, SyntaxKind::CONCURRENTLY_KW);
    let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share };
    let only = on.parent().is_some_and(|parent| tree::holds(&parent, SyntaxKind::ONLY_KW));
    let family = if only { vec![table.clone()] } else { catalogue.family(&table) };
    for member in &family {
        draft.lock(member, mode);
        if !there && holds_rows(catalogue, member) {
            draft.scan(member);
        }
    }
    if !concurrently {
        advice::index_blocks_writes(catalogue, draft, &table);
    }
    let columns = tree::columns(node);
    let list = tree::first(node, &[SyntaxKind::PARTITION_ITEM_LIST]);
    let of_columns = |list: &SyntaxNode| {
        let mut items = list.children().filter_map(|item| item.children().next());
        items.all(|inner| inner.kind() == SyntaxKind::NAME_REF)
    };
    let plain = !tree::holds(node, SyntaxKind::WHERE_CLAUSE) && list.as_ref().is_some_and(of_columns);
    let name = name.unwrap_or_else(|| {
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        format!("{}_{}_idx", tree::base(&table), columns.join("_"))
    });
    catalogue.tables.entry(table).or_default().indexes.insert(name, Index { columns, primary: false, plain });
}

pub(super) fn domain(catalogue: &mut Catalogue, domain: &ast::CreateDomain) {
    let Some((name, base)) = domain.domain().zip(domain.ty()) else { return };
    let constrained = domain.domain_qualifiers().any(|qualifier| match qualifier {
        ast::DomainQualifier::Constraint(constraint) => {
            !matches!(constraint, ast::Constraint::DefaultConstraint(_) | ast::Constraint::NullConstraint(_))
        }
        ast::DomainQualifier::Collate(_) => false,
    });
    let base = Type::read(&base.syntax().text().to_string());
    let name = tree::base(&tree::name(name.syntax())).to_owned();
    catalogue.domains.insert(name, Domain { base, constrained });
}

pub(super) fn function(catalogue: &mut Catalogue, node: &SyntaxNode) {
    let Some(name) = tree::first(node, &[SyntaxKind::FUNCTION_NAME]) else { return };
    let name = tree::base(&tree::name(&name)).to_owned();
    // Its body may read tables, so that a statement that calls it is judged by its volatility alone where that is said.
    if tree::has(node, SyntaxKind::IMMUTABLE) || tree::has(node, SyntaxKind::STABLE) {
        catalogue.steady_functions.insert(name);
    } else {
        catalogue.steady_functions.remove(&name);
    }
}
