use sqlparser::ast::{CreateTable, ObjectType, RenameTable, Statement};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use crate::Dialect;
use crate::lex::{Token, lex};

use super::super::catalogue::{Catalogue, Table};
use super::super::impact::{Algorithm, LockMode};
use super::super::judge::Draft;
use super::super::query;
use super::alter::{alter, constrain, put};
use super::column::Definition;
use super::cost::Cost;

const METADATA: (&str, &str) =
    ("nothing reads a table whose definition changes", "https://mariadb.com/kb/en/metadata-locking/");

/// Judges the text of one statement, and advances the catalogue by it.
pub(crate) fn judge(catalogue: &mut Catalogue, text: &str) -> Draft {
    let mut draft = Draft::default();
    let Ok(tokens) = lex(Dialect::Mysql, text) else {
        draft.unread("the statement cannot be read");
        return draft;
    };
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| token.is_any(words));
    if is(0, &["ALTER"]) && tokens.iter().take(4).any(|token| token.is("TABLE")) {
        alter(catalogue, &mut draft, text);
    } else if is(0, &["CREATE"]) && tokens.iter().take(9).any(|token| token.is("TRIGGER")) {
        // Its body is for later; the table is the first behind ON.
        exclusively(catalogue, &mut draft, &query::names_after(&tokens, &["ON"]));
    } else if is(0, &["CREATE", "DROP"])
        && tokens.iter().take(9).any(|token| token.is_any(&["PROCEDURE", "FUNCTION", "EVENT"]))
    {
        draft.rule(METADATA);
    } else if is(0, &["SET"]) {
        set(catalogue, &tokens);
    } else if is(0, &["LOCK"]) {
        draft.unread("locks of tables outlast the statement");
    } else {
        parsed(catalogue, &mut draft, text, &tokens);
    }
    draft
}

/// A name as the catalogue has it, of the tokens that it is written in.
pub(super) fn written(tokens: &[Token<'_>]) -> String {
    let parts: Vec<_> =
        tokens.iter().filter(|token| !token.is_symbol(".")).filter_map(Token::identifier).collect();
    // Databases are not told apart: a script is for one.
    parts.last().cloned().unwrap_or_default()
}

fn set(catalogue: &mut Catalogue, tokens: &[Token<'_>]) {
    let mut rest = tokens.iter().skip_while(|token| !token.is("foreign_key_checks")).skip(1);
    let value = rest.find(|token| !token.is_any(&["="]) && !token.is_symbol("=") && !token.is_symbol(":"));
    if let Some(value) = value {
        catalogue.session.foreign_key_checks =
            !(value.is_any(&["0", "OFF", "FALSE"]) || value.text.eq_ignore_ascii_case("'off'"));
    }
}

fn parsed(catalogue: &mut Catalogue, draft: &mut Draft, text: &str, tokens: &[Token<'_>]) {
    let statement = match Parser::parse_sql(&MySqlDialect {}, text) {
        Ok(statements) => statements.into_iter().next(),
        Err(error) => return draft.unread(format!("the statement cannot be read: {error}")),
    };
    let Some(statement) = statement else { return };
    match statement {
        Statement::CreateTable(create) => table(catalogue, draft, &create, tokens),
        Statement::CreateIndex(create) => {
            let table = catalogue.resolve(&last(&create.table_name.to_string()));
            Cost::INDEX.charge(catalogue, draft, &table);
        }
        Statement::Drop { object_type: ObjectType::Index, table: Some(table), names, .. } => {
            let table = catalogue.resolve(&last(&table.to_string()));
            Cost::UNINDEX.charge(catalogue, draft, &table);
            if let Some(known) = catalogue.tables.get_mut(&table) {
                names.iter().for_each(|name| drop(known.indexes.remove(&last(&name.to_string()))));
            }
        }
        Statement::Drop { object_type: ObjectType::Table | ObjectType::View, names, .. } => {
            let names: Vec<_> =
                names.iter().map(|name| catalogue.resolve(&last(&name.to_string()))).collect();
            exclusively(
                catalogue,
                draft,
                &names.iter().filter(|name| !catalogue.lacks(name)).cloned().collect::<Vec<_>>(),
            );
            names.iter().for_each(|name| catalogue.drop_table(name));
        }
        Statement::RenameTable(renames) => renames.iter().for_each(|one| rename(catalogue, draft, one)),
        Statement::Truncate(truncate) => {
            let names: Vec<_> =
                truncate.table_names.iter().map(|target| last(&target.name.to_string())).collect();
            exclusively(catalogue, draft, &names);
            names.iter().for_each(|name| draft.truncate(name));
        }
        Statement::OptimizeTable { .. } => draft.unread("which tables it writes anew is not known"),
        Statement::Call(_) | Statement::Execute { .. } | Statement::Prepare { .. } => {
            draft.unread("what a procedure or a prepared statement does is not in its text");
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Query(_) => {
            query::rows(catalogue, draft, tokens, LockMode::None);
        }
        Statement::CreateView { .. }
        | Statement::Use(_)
        | Statement::Set(_)
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::CreateDatabase { .. }
        | Statement::ShowVariable { .. }
        | Statement::Grant { .. }
        | Statement::Revoke { .. } => {}
        _ => draft.unread("what the statement does to tables is not known"),
    }
}

fn rename(catalogue: &mut Catalogue, draft: &mut Draft, rename: &RenameTable) {
    let (from, to) = (last(&rename.old_name.to_string()), last(&rename.new_name.to_string()));
    Cost { renames: true, ..Cost::default() }.charge(catalogue, draft, &from);
    catalogue.rename(&from, &to);
}

/// The last part of a name, without its quotes.
fn last(name: &str) -> String {
    name.replace('`', "").rsplit('.').next().unwrap_or_default().to_owned()
}

fn exclusively(catalogue: &Catalogue, draft: &mut Draft, tables: &[String]) {
    draft.rule(METADATA);
    for table in tables {
        draft.lock(&catalogue.resolve(table), LockMode::Nothing);
    }
}

fn table(catalogue: &mut Catalogue, draft: &mut Draft, create: &CreateTable, tokens: &[Token<'_>]) {
    draft.rule(METADATA);
    let name = catalogue.resolve(&last(&create.name.to_string()));
    if create.if_not_exists && catalogue.tables.contains_key(&name) {
        return;
    }
    let mut table = Table { rows: Some(0), ..Table::default() };
    for column in &create.columns {
        let new = Definition::read(&column.data_type, column.options.iter().map(|option| &option.option));
        put(&mut table, &column.name.value.to_lowercase(), new);
    }
    create.constraints.iter().for_each(|constraint| constrain(&mut table, constraint));
    // Options stand behind the last bracket.
    let behind = tokens.iter().rposition(|token| token.is_symbol(")")).map_or(0, |at| at + 1);
    let options: Vec<_> = tokens.iter().skip(behind).filter(|token| !token.is_symbol("=")).collect();
    let value = |word: &str| {
        let at = options.iter().position(|token| token.is(word))?;
        let skip = if options.get(at + 1).is_some_and(|token| token.is("SET")) { 2 } else { 1 };
        options.get(at + skip)?.identifier().map(|name| name.to_ascii_lowercase())
    };
    table.charset = value("CHARSET").or_else(|| value("CHARACTER"));
    table.engine = value("ENGINE");
    if create.query.is_some() {
        query::rows(catalogue, draft, tokens, LockMode::None);
        table.rows = None;
    }
    catalogue.tables.insert(name.clone(), table);
    catalogue.fresh.insert(name);
    draft.algorithm(Algorithm::Instant);
}
