use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation as Operation, Ident, Statement, TableConstraint,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use crate::Dialect;
use crate::lex::{Token, lex};

use super::super::catalogue::{Catalogue, Column, Constraint, Index, Table};
use super::super::judge::Draft;
use super::column::{self, Definition};
use super::cost::Cost;
use super::options;
use super::statement::written;

/// Judges `ALTER TABLE`, action by action.
pub(super) fn alter(catalogue: &mut Catalogue, draft: &mut Draft, text: &str) {
    let Ok(tokens) = lex(Dialect::Mysql, text) else { return draft.unread("the statement cannot be read") };
    let Some((head, actions)) = split(&tokens) else { return draft.unread("the table is not named") };
    let table = catalogue.resolve(&written(&head));
    let mut cost = Cost::default();
    let mut renamed = None;
    let is_new_key = |action: &Vec<Token<'_>>| {
        action.first().is_some_and(|first| first.is("ADD"))
            && action.iter().take(4).any(|token| token.is("PRIMARY"))
    };
    let new_key = actions.iter().any(is_new_key);
    for action in actions.iter().filter(|action| !action.is_empty()) {
        if action.first().is_some_and(|first| first.is_any(&["ALGORITHM", "LOCK"])) {
            continue;
        }
        if let Some(known) = options::cost(catalogue.tables.get(&table), action) {
            cost = cost.and(known);
            if let Some(known) = catalogue.tables.get_mut(&table) {
                options::apply(known, action);
            }
            continue;
        }
        let Some(operation) = parse(action) else {
            return draft.unread("an action of ALTER TABLE cannot be read");
        };
        let Some(one) = judge(catalogue, draft, &table, &operation) else {
            return draft.unread("what an action of ALTER TABLE costs is not known");
        };
        let exchanged = new_key && matches!(operation, Operation::DropPrimaryKey { .. });
        cost = cost.and(if exchanged { Cost::REBUILD } else { one });
        if let Operation::RenameTable { table_name } = &operation {
            renamed = table_name.to_string().split_whitespace().last().map(|name| name.replace('`', ""));
        }
    }
    cost.charge(catalogue, draft, &table);
    if let Some(to) = renamed {
        let to = catalogue.resolve(&to);
        catalogue.rename(&table, &to);
    }
}

/// The tokens of the table's name, and those of each action.
fn split<'a>(tokens: &[Token<'a>]) -> Option<(Vec<Token<'a>>, Vec<Vec<Token<'a>>>)> {
    let start = tokens.iter().position(|token| token.is("TABLE"))? + 1;
    let mut rest = tokens.get(start..)?.iter().copied().peekable();
    while rest.next_if(|token| token.is_any(&["IF", "EXISTS"])).is_some() {}
    let mut head = vec![rest.next()?];
    while let Some(dot) = rest.next_if(|token| token.is_symbol(".")) {
        head.extend([dot, rest.next()?]);
    }
    let mut actions = vec![Vec::new()];
    let mut depth = 0_usize;
    for token in rest {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                actions.push(Vec::new());
                continue;
            }
            _ => {}
        }
        actions.last_mut()?.push(token);
    }
    Some((head, actions))
}

fn parse(action: &[Token<'_>]) -> Option<Operation> {
    // MariaDB's own words: every action may say whether it minds, and stored columns have two names.
    let minds = |at: usize, token: &Token<'_>| {
        let behind_if =
            at.checked_sub(1).and_then(|before| action.get(before)).is_some_and(|token| token.is("IF"));
        !(token.is_any(&["IF", "EXISTS"]) || (token.is("NOT") && behind_if))
    };
    let mut words = String::new();
    let mut end = 0;
    for (_, token) in action.iter().enumerate().filter(|(at, token)| minds(*at, token)) {
        if token.start != end {
            words.push(' ');
        }
        words.push_str(if token.is("PERSISTENT") { "STORED" } else { token.text });
        end = token.end();
    }
    let statements = Parser::parse_sql(&MySqlDialect {}, &format!("ALTER TABLE t {words}")).ok()?;
    match statements.into_iter().next()? {
        Statement::AlterTable(alter) => alter.operations.into_iter().next(),
        _ => None,
    }
}

/// What one action costs. None where that is not known.
fn judge(catalogue: &mut Catalogue, draft: &mut Draft, table: &str, operation: &Operation) -> Option<Cost> {
    let checks = catalogue.session.foreign_key_checks;
    match operation {
        Operation::AddColumn { column_def, .. } => {
            let new = Definition::read(
                &column_def.data_type,
                column_def.options.iter().map(|option| &option.option),
            );
            Some(add_column(catalogue, draft, table, &column_def.name, new))
        }
        Operation::ModifyColumn { col_name, data_type, options, .. } => {
            let new = Definition::read(data_type, options.iter());
            Some(change(catalogue, table, col_name, col_name, &new))
        }
        Operation::ChangeColumn { old_name, new_name, data_type, options, .. } => {
            let new = Definition::read(data_type, options.iter());
            Some(change(catalogue, table, old_name, new_name, &new))
        }
        Operation::AddConstraint { constraint, .. } => {
            Some(add_constraint(catalogue, table, constraint, checks))
        }
        _ => simple(catalogue.tables.get_mut(table), operation),
    }
}

fn simple(known: Option<&mut Table>, operation: &Operation) -> Option<Cost> {
    let mut fallback = Table::default();
    let known = known.unwrap_or(&mut fallback);
    match operation {
        Operation::DropColumn { column_names, .. } => {
            let gone: Vec<_> = column_names.iter().map(lower).collect();
            let indexed =
                known.indexes.values().any(|index| gone.iter().any(|name| index.columns.contains(name)));
            gone.iter().for_each(|name| known.drop_column(name));
            Some(if indexed { Cost::RESHAPE.and(Cost::UNINDEX) } else { Cost::RESHAPE })
        }
        Operation::RenameColumn { old_column_name, new_column_name } => {
            known.rename_column(&lower(old_column_name), &lower(new_column_name));
            Some(Cost::INSTANT)
        }
        Operation::RenameTable { .. } => Some(Cost { renames: true, ..Cost::default() }),
        Operation::DropIndex { name } => {
            known.indexes.remove(&name.value);
            Some(Cost::UNINDEX)
        }
        Operation::DropPrimaryKey { .. } => {
            known.indexes.retain(|_, index| !index.primary);
            Some(Cost::COPY)
        }
        Operation::DropForeignKey { name, .. } => {
            known.constraints.remove(&name.value);
            Some(Cost::INSTANT)
        }
        // A unique key can be dropped as a constraint too.
        Operation::DropConstraint { name, .. } => {
            known.constraints.remove(&name.value);
            Some(if known.indexes.remove(&name.value).is_some() { Cost::UNINDEX } else { Cost::INSTANT })
        }
        Operation::AlterColumn {
            op: AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault,
            ..
        }
        | Operation::AutoIncrement { .. } => Some(Cost::INSTANT),
        _ => None,
    }
}

fn lower(name: &Ident) -> String {
    name.value.to_lowercase()
}

fn add_column(
    catalogue: &mut Catalogue,
    draft: &mut Draft,
    table: &str,
    name: &Ident,
    new: Definition,
) -> Cost {
    let mut cost = if new.stored || new.computed || new.references { Cost::COPY } else { Cost::RESHAPE };
    if new.unique || new.primary {
        cost = cost.and(Cost::INDEX);
    }
    if new.auto_increment {
        cost = cost.and(Cost { keeps_writers_out: true, ..Cost::REBUILD });
    }
    if new.column.not_null && !new.has_value && !catalogue.fresh.contains(table) {
        draft.advise(
            "required-column-without-default",
            format!(
                "rows of `{table}` get an implicit value in `{}`, or the statement fails in strict mode",
                name.value
            ),
            "give it a default, or add it nullable, backfill in batches, and set NOT NULL later",
        );
    }
    if let Some(known) = catalogue.tables.get_mut(table) {
        put(known, &lower(name), new);
    }
    cost
}

/// Takes in a column with the index that it brings.
pub(super) fn put(table: &mut Table, name: &str, new: Definition) {
    if new.unique || new.primary {
        let columns = [name.to_owned()].into();
        table.indexes.insert(name.to_owned(), Index { columns, primary: new.primary, plain: true });
    }
    table.columns.insert(name.to_owned(), new.column);
}

fn change(catalogue: &mut Catalogue, table: &str, from: &Ident, to: &Ident, new: &Definition) -> Cost {
    let cost = column::modify(catalogue, catalogue.tables.get(table), &lower(from), new);
    if let Some(known) = catalogue.tables.get_mut(table) {
        known.rename_column(&lower(from), &lower(to));
        let charset = known.columns.get(&lower(to)).and_then(|column| column.charset.clone());
        let column = Column { charset: new.column.charset.clone().or(charset), ..new.column.clone() };
        known.columns.insert(lower(to), column);
    }
    cost
}

fn add_constraint(
    catalogue: &mut Catalogue,
    table: &str,
    constraint: &TableConstraint,
    checks: bool,
) -> Cost {
    if let Some(known) = catalogue.tables.get_mut(table) {
        constrain(known, constraint);
    }
    match constraint {
        // Adding it checks every row, and the engine cannot.
        TableConstraint::ForeignKey(_) if checks => Cost::COPY,
        TableConstraint::ForeignKey(_) | TableConstraint::Unique(_) | TableConstraint::Index(_) => {
            Cost::INDEX
        }
        TableConstraint::PrimaryKey(_) => Cost::REBUILD,
        TableConstraint::FulltextOrSpatial(_) => Cost { keeps_writers_out: true, ..Cost::REBUILD },
        _ => Cost::COPY,
    }
}

/// Takes in a constraint or index of a table.
pub(super) fn constrain(table: &mut Table, constraint: &TableConstraint) {
    let columns = |columns: &[sqlparser::ast::IndexColumn]| {
        columns.iter().map(|column| column.column.expr.to_string().replace('`', "").to_lowercase()).collect()
    };
    let (name, index) = match constraint {
        TableConstraint::PrimaryKey(key) => {
            let index = Index { columns: columns(&key.columns), primary: true, plain: true };
            for column in &index.columns {
                if let Some(column) = table.columns.get_mut(column) {
                    column.not_null = true;
                }
            }
            ("PRIMARY".to_owned(), index)
        }
        TableConstraint::Unique(key) => {
            let name = key.index_name.as_ref().or(key.name.as_ref()).map(|name| name.value.clone());
            (name.unwrap_or_default(), Index { columns: columns(&key.columns), primary: false, plain: true })
        }
        TableConstraint::Index(key) => {
            let name = key.name.as_ref().map(|name| name.value.clone());
            (name.unwrap_or_default(), Index { columns: columns(&key.columns), primary: false, plain: true })
        }
        TableConstraint::ForeignKey(key) => {
            let name = key.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
            let references = Some(key.foreign_table.to_string().replace('`', ""));
            let columns = key.columns.iter().map(lower).collect();
            table
                .constraints
                .insert(name, Constraint { columns, references, valid: true, ..Constraint::default() });
            return;
        }
        TableConstraint::Check(check) => {
            let name = check.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
            table.constraints.insert(name, Constraint { check: true, valid: true, ..Constraint::default() });
            return;
        }
        _ => return,
    };
    // An index without a name has its first column's.
    let name = if name.is_empty() { index.columns.iter().next().cloned().unwrap_or_default() } else { name };
    table.indexes.insert(name, index);
}
