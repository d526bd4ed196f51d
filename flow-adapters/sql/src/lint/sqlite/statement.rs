use sqlparser::ast::{AlterTableOperation as Operation, ColumnDef, ColumnOption, Statement, TableConstraint};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

use crate::Dialect;
use crate::lex::{Token, lex};

use super::super::catalogue::{Catalogue, Column, Constraint, Index, Table};
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::super::query;
use super::super::types::Type;

/// What every statement that writes locks: the database.
const DATABASE: &str = "main";

const ALTER: (&str, &str) = (
    "ALTER TABLE changes the catalogue alone, but DROP COLUMN writes every row anew and a checked column reads them",
    "https://www.sqlite.org/lang_altertable.html",
);
const LOCK: (&str, &str) = ("one write lock for the whole database", "https://www.sqlite.org/lockingv3.html");

/// Judges the text of one statement, and advances the catalogue by it.
pub(crate) fn judge(catalogue: &mut Catalogue, text: &str) -> Draft {
    let mut draft = Draft::default();
    let Ok(tokens) = lex(Dialect::Sqlite, text) else {
        draft.unread("the statement cannot be read");
        return draft;
    };
    let first = |words: &[&str]| tokens.first().is_some_and(|token| token.is_any(words));
    let near = |words: &[&str]| tokens.iter().take(4).any(|token| token.is_any(words));
    if first(&[
        "SELECT",
        "VALUES",
        "EXPLAIN",
        "BEGIN",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "ANALYZE",
    ]) {
        query::rows(catalogue, &mut draft, &tokens, LockMode::None);
        return draft;
    }
    if first(&["PRAGMA"]) {
        pragma(catalogue, &tokens);
        return draft;
    }
    draft.rule(LOCK);
    draft.lock(DATABASE, LockMode::Reserved);
    if first(&["VACUUM", "REINDEX"]) {
        for table in catalogue.tables.keys() {
            draft.rewrite(table);
        }
    } else if first(&["CREATE"]) && near(&["TRIGGER"]) {
        // Nothing runs before a row is written.
    } else if first(&["CREATE"]) && near(&["VIRTUAL"]) || first(&["ATTACH", "DETACH"]) {
        draft.unread("what stands behind another file or module is not known");
    } else {
        parsed(catalogue, &mut draft, text, &tokens);
    }
    draft
}

fn pragma(catalogue: &mut Catalogue, tokens: &[Token<'_>]) {
    if tokens.iter().take(4).any(|token| token.is("foreign_keys")) {
        let on = tokens.last().is_some_and(|value| value.is_any(&["ON", "1", "TRUE", "YES"]));
        catalogue.session.foreign_key_checks = on;
    }
}

fn parsed(catalogue: &mut Catalogue, draft: &mut Draft, text: &str, tokens: &[Token<'_>]) {
    let statement = match Parser::parse_sql(&SQLiteDialect {}, text) {
        Ok(statements) => statements.into_iter().next(),
        Err(error) => return draft.unread(format!("the statement cannot be read: {error}")),
    };
    let Some(statement) = statement else { return };
    match statement {
        Statement::CreateTable(create) => {
            let name = name(&create.name.to_string());
            if create.if_not_exists && catalogue.tables.contains_key(&name) {
                return;
            }
            let mut table = Table { rows: Some(0), ..Table::default() };
            for column in &create.columns {
                put(&mut table, column);
            }
            for constraint in &create.constraints {
                constrain(&mut table, constraint);
            }
            if create.query.is_some() {
                query::rows(catalogue, draft, tokens, LockMode::Reserved);
            }
            catalogue.tables.insert(name.clone(), table);
            catalogue.fresh.insert(name);
        }
        Statement::AlterTable(alter) => {
            let table = name(&alter.name.to_string());
            draft.rule(ALTER);
            for operation in &alter.operations {
                change(catalogue, draft, &table, operation);
            }
        }
        Statement::CreateIndex(create) => {
            let table = name(&create.table_name.to_string());
            draft.scan(&table);
            let index = create.name.map(|index| name(&index.to_string())).unwrap_or_default();
            let known = catalogue.tables.entry(table).or_default();
            known.indexes.insert(index, Index::default());
        }
        Statement::Drop { object_type: sqlparser::ast::ObjectType::Table, names, .. } => {
            for dropped in names.iter().map(|dropped| name(&dropped.to_string())) {
                drop_table(catalogue, draft, &dropped);
            }
        }
        Statement::Drop { .. } | Statement::CreateView { .. } => {}
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Query(_) => {
            query::rows(catalogue, draft, tokens, LockMode::Reserved);
            // The database's lock is the only one.
            draft.keep_locks(|relation| relation == DATABASE);
        }
        _ => draft.unread("what the statement does to tables is not known"),
    }
}

/// A name without its schema and quotes; SQLite does not tell cases apart.
fn name(written: &str) -> String {
    let plain =
        |part: &str| part.trim_matches(|quote| ['"', '`', '[', ']', '\''].contains(&quote)).to_lowercase();
    written.rsplit('.').next().map(plain).unwrap_or_default()
}

fn put(table: &mut Table, column: &ColumnDef) {
    let not_null = column.options.iter().any(|option| matches!(option.option, ColumnOption::NotNull));
    let kind = Type::read(&column.data_type.to_string());
    table.columns.insert(name(&column.name.value), Column { kind, not_null, charset: None });
    for option in &column.options {
        if let ColumnOption::ForeignKey(key) = &option.option {
            refer(table, &key.foreign_table.to_string());
        }
    }
}

fn constrain(table: &mut Table, constraint: &TableConstraint) {
    if let TableConstraint::ForeignKey(key) = constraint {
        refer(table, &key.foreign_table.to_string());
    }
}

fn refer(table: &mut Table, other: &str) {
    let number = table.constraints.len().to_string();
    let references = Some(name(other));
    table.constraints.insert(number, Constraint { references, valid: true, ..Constraint::default() });
}

fn change(catalogue: &mut Catalogue, draft: &mut Draft, table: &str, operation: &Operation) {
    match operation {
        Operation::AddColumn { column_def, .. } => {
            let read = |option: &ColumnOption| {
                matches!(
                    option,
                    ColumnOption::NotNull
                        | ColumnOption::Check(_)
                        | ColumnOption::Generated { .. }
                        | ColumnOption::ForeignKey(_)
                )
            };
            if column_def.options.iter().any(|option| read(&option.option)) {
                draft.scan(table);
            }
            let known = catalogue.tables.entry(table.to_owned()).or_default();
            put(known, column_def);
        }
        Operation::DropColumn { column_names, .. } => {
            draft.rewrite(table);
            let known = catalogue.tables.entry(table.to_owned()).or_default();
            column_names.iter().for_each(|column| known.drop_column(&name(&column.value)));
            in_use(draft, &format!("columns of `{table}` are dropped"));
        }
        Operation::RenameColumn { old_column_name, new_column_name } => {
            let known = catalogue.tables.entry(table.to_owned()).or_default();
            known.rename_column(&name(&old_column_name.value), &name(&new_column_name.value));
            in_use(draft, &format!("a column of `{table}` is renamed"));
        }
        Operation::RenameTable { table_name } => {
            let to = table_name.to_string();
            let to = name(to.split_whitespace().last().unwrap_or_default());
            if !catalogue.fresh.contains(table) {
                in_use(draft, &format!("`{table}` is renamed"));
            }
            catalogue.rename(table, &to);
        }
        _ => draft.unread("SQLite has no such action"),
    }
}

fn in_use(draft: &mut Draft, problem: &str) {
    draft.advise(
        "renamed-or-dropped-in-use",
        format!("{problem} while a running release may use it"),
        "expand first: add the new beside the old, and drop the old when no running release uses it",
    );
}

/// Dropping a table deletes its rows first, with what their deletion does in other tables.
fn drop_table(catalogue: &mut Catalogue, draft: &mut Draft, table: &str) {
    if catalogue.lacks(table) {
        return;
    }
    draft.scan(table);
    let children: Vec<String> = catalogue.pointing_to(table).into_iter().map(|(child, _)| child).collect();
    if catalogue.session.foreign_key_checks && !children.is_empty() {
        draft.advise(
            "drop-deletes-children",
            format!("with foreign keys on, rows of `{}` may go with `{table}`", children.join("`, `")),
            "PRAGMA foreign_keys = OFF before the transaction, and PRAGMA foreign_key_check before its end",
        );
        children.iter().for_each(|child| draft.scan(child));
    }
    if !catalogue.fresh.contains(table) {
        in_use(draft, &format!("`{table}` is dropped"));
    }
    catalogue.drop_table(table);
}
