use squawk_syntax::ast::{self, AstNode, Stmt};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Kind};
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::{advice, alter_table, create, drop, query, rules, session, tree};

/// Judges the text of one statement, and advances the catalogue by it.
pub(crate) fn judge(catalogue: &mut Catalogue, text: &str) -> Draft {
    let mut draft = Draft::default();
    let parse = SourceFile::parse(text);
    if let Some(error) = parse.errors().first() {
        draft.unread(format!("the statement cannot be read: {}", error.message()));
        return draft;
    }
    let Ok(file) = parse.clone().ok() else { return draft };
    let before = catalogue.clone();
    for statement in file.stmts() {
        dispatch(catalogue, &mut draft, &statement);
    }
    advice::advise(&before, &mut draft, &parse, text);
    draft
}

fn dispatch(catalogue: &mut Catalogue, draft: &mut Draft, statement: &Stmt) {
    let node = statement.syntax();
    match statement {
        Stmt::AlterTable(_) | Stmt::AlterForeignTable(_) | Stmt::AlterMaterializedView(_) => {
            alter_table::alter(catalogue, draft, node);
        }
        Stmt::CreateTable(_) | Stmt::CreateForeignTable(_) => create::table(catalogue, draft, node),
        Stmt::CreateTableAs(_) | Stmt::SelectInto(_) => create::table_as(catalogue, draft, node),
        Stmt::CreateView(_) | Stmt::CreateMaterializedView(_) => create::view(catalogue, draft, node),
        Stmt::CreateIndex(_) => create::index(catalogue, draft, node),
        Stmt::CreateDomain(domain) => create::domain(catalogue, domain),
        Stmt::CreateFunction(_) => create::function(catalogue, node),
        Stmt::DropTable(_)
        | Stmt::DropView(_)
        | Stmt::DropMaterializedView(_)
        | Stmt::DropForeignTable(_) => {
            drop::relations(catalogue, draft, node);
        }
        Stmt::DropIndex(_) => drop::indexes(catalogue, draft, node),
        Stmt::DropSchema(_) => drop::schema(catalogue, draft, node),
        Stmt::Insert(_)
        | Stmt::Update(_)
        | Stmt::Delete(_)
        | Stmt::Merge(_)
        | Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::Table(_)
        | Stmt::Values(_)
        | Stmt::Copy(_) => query::rows(catalogue, draft, node),
        Stmt::Set(set) => session::set(catalogue, set),
        Stmt::Truncate(_) => truncate(catalogue, draft, node),
        Stmt::Reindex(_) => reindex(catalogue, draft, node),
        Stmt::Cluster(_) => new_file(catalogue, draft, node),
        Stmt::Vacuum(vacuum) if vacuum.is_full() => new_file(catalogue, draft, node),
        Stmt::Refresh(_) => refresh(catalogue, draft, node),
        Stmt::AlterDomain(domain) => alter_domain(catalogue, draft, domain),
        Stmt::Do(_) | Stmt::Call(_) | Stmt::Execute(_) | Stmt::Prepare(_) => {
            draft.unread("what a block, a procedure or a prepared statement does is not in its text");
        }
        Stmt::DropFunction(_)
        | Stmt::DropType(_)
        | Stmt::DropDomain(_)
        | Stmt::DropOwned(_)
        | Stmt::DropExtension(_)
            if tree::has(node, SyntaxKind::CASCADE) =>
        {
            draft.unread("what CASCADE takes along is not in the text");
        }
        Stmt::ImportForeignSchema(_) | Stmt::Repack(_) | Stmt::AlterExtension(_) => {
            draft.unread("what it does to tables is not known");
        }
        _ => simple(catalogue, draft, statement),
    }
}

/// Commands that take one lock on the relations that they name, and read nothing.
fn simple(catalogue: &Catalogue, draft: &mut Draft, statement: &Stmt) {
    let node = statement.syntax();
    let mode = match statement {
        Stmt::CreateTrigger(_) => LockMode::ShareRowExclusive,
        Stmt::DropTrigger(_) | Stmt::AlterTrigger(_) => LockMode::AccessExclusive,
        Stmt::CreateRule(_) | Stmt::DropRule(_) | Stmt::AlterRule(_) => LockMode::AccessExclusive,
        Stmt::CreatePolicy(_) | Stmt::DropPolicy(_) | Stmt::AlterPolicy(_) => LockMode::AccessExclusive,
        Stmt::AlterView(_) => LockMode::AccessExclusive,
        Stmt::Analyze(_) | Stmt::Vacuum(_) | Stmt::CreateStatistics(_) => LockMode::ShareUpdateExclusive,
        Stmt::CommentOn(_) => return comment(catalogue, draft, node),
        Stmt::Lock(lock) => lock_mode(lock),
        Stmt::AlterSequence(_) => return owned_by(catalogue, draft, node),
        Stmt::Grant(_) | Stmt::Revoke(_) if catalogue.server.version.0 >= 18 => LockMode::AccessShare,
        _ => return,
    };
    draft.rule(rules::LOCK_TABLE);
    // A rule's or trigger's own table comes first; what follows belongs to its body.
    let several = matches!(
        statement,
        Stmt::Lock(_) | Stmt::Analyze(_) | Stmt::Vacuum(_) | Stmt::Grant(_) | Stmt::Revoke(_)
    );
    let names = named(catalogue, node);
    for relation in names.iter().take(if several { names.len() } else { 1 }) {
        if !catalogue.lacks(relation) {
            draft.lock(relation, mode);
        }
    }
    // A policy's conditions are analysed, not run.
    if matches!(statement, Stmt::CreatePolicy(_) | Stmt::AlterPolicy(_)) {
        for (relation, mode) in query::sources(catalogue, node) {
            draft.lock(&relation, mode);
        }
    }
}

/// The relations that a statement names, in the order of the text.
pub(super) fn named(catalogue: &Catalogue, node: &SyntaxNode) -> Vec<String> {
    let kinds = [SyntaxKind::TABLE_NAME_REF, SyntaxKind::RELATION_NAME_REF, SyntaxKind::VIEW_REF];
    tree::all(node, &kinds).iter().map(|relation| catalogue.resolve(&tree::name(relation))).collect()
}

fn comment(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::LOCK_TABLE);
    if let Some(column) = tree::first(node, &[SyntaxKind::QUALIFIED_COLUMN_NAME_REF]) {
        draft.lock(&owner(catalogue, &column), LockMode::ShareUpdateExclusive);
        return;
    }
    let part = [
        SyntaxKind::OBJECT_CONSTRAINT,
        SyntaxKind::OBJECT_TRIGGER,
        SyntaxKind::OBJECT_RULE,
        SyntaxKind::OBJECT_POLICY,
    ];
    let of_part = tree::first(node, &part).is_some();
    let mode = if of_part { LockMode::AccessShare } else { LockMode::ShareUpdateExclusive };
    for relation in named(catalogue, node) {
        draft.lock(&relation, mode);
    }
}

fn owned_by(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    if let Some(column) = tree::first(node, &[SyntaxKind::QUALIFIED_COLUMN_NAME_REF]) {
        draft.lock(&owner(catalogue, &column), LockMode::AccessShare);
    }
}

/// The table of `schema.table.column`.
fn owner(catalogue: &Catalogue, column: &SyntaxNode) -> String {
    let segments = tree::all(column, &[SyntaxKind::PATH_SEGMENT_REF]);
    let names: Vec<_> =
        segments.iter().map(|segment| tree::identifier(&segment.text().to_string())).collect();
    let table = names.get(names.len().saturating_sub(3)..names.len().saturating_sub(1)).unwrap_or_default();
    catalogue.resolve(&table.join("."))
}

fn lock_mode(lock: &ast::Lock) -> LockMode {
    match lock.lock_mode_clause().and_then(|clause| clause.lock_mode()) {
        Some(ast::LockMode::AccessShare(_)) => LockMode::AccessShare,
        Some(ast::LockMode::RowShare(_)) => LockMode::RowShare,
        Some(ast::LockMode::RowExclusive(_)) => LockMode::RowExclusive,
        Some(ast::LockMode::ShareUpdateExclusive(_)) => LockMode::ShareUpdateExclusive,
        Some(ast::LockMode::Share(_)) => LockMode::Share,
        Some(ast::LockMode::ShareRowExclusive(_)) => LockMode::ShareRowExclusive,
        Some(ast::LockMode::Exclusive(_)) => LockMode::Exclusive,
        Some(ast::LockMode::AccessExclusive(_)) | None => LockMode::AccessExclusive,
    }
}

fn truncate(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::NEW_FILE);
    let mut emptied: Vec<String> =
        named(catalogue, node).iter().flat_map(|table| catalogue.family(table)).collect();
    if tree::has(node, SyntaxKind::CASCADE) {
        let mut at = 0;
        while let Some(table) = emptied.get(at).cloned() {
            for (pointing, _) in catalogue.pointing_to(&table) {
                if !emptied.contains(&pointing) {
                    emptied.push(pointing);
                }
            }
            at += 1;
        }
    }
    for table in emptied {
        draft.lock(&table, LockMode::AccessExclusive);
        if catalogue.tables.get(&table).is_none_or(|known| known.kind != Kind::Partitioned) {
            draft.truncate(&table);
        }
    }
}

fn reindex(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::INDEX);
    let concurrently = tree::has(node, SyntaxKind::CONCURRENTLY_KW);
    let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share };
    let indexes = tree::all(node, &[SyntaxKind::INDEX_REF]);
    let mut tables = named(catalogue, node);
    for index in &indexes {
        match catalogue.table_of_index(tree::base(&tree::name(index))) {
            Some(table) => tables.push(table),
            None => draft.unread("the table of the index is not known"),
        }
    }
    if tables.is_empty() {
        tables.extend(catalogue.tables.keys().cloned());
        draft.unread("it builds indexes of tables that are not named");
    }
    for table in tables.iter().flat_map(|table| catalogue.family(table)) {
        draft.lock(&table, mode);
        draft.scan(&table);
    }
}

fn new_file(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::NEW_FILE);
    let tables = named(catalogue, node);
    if tables.is_empty() {
        draft.unread("it writes tables anew that are not named");
    }
    for table in tables {
        draft.lock(&table, LockMode::AccessExclusive);
        draft.rewrite(&table);
    }
}

fn refresh(catalogue: &Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::NEW_FILE);
    let concurrently = tree::has(node, SyntaxKind::CONCURRENTLY_KW);
    for view in named(catalogue, node) {
        for read in catalogue.tables.get(&view).into_iter().flat_map(|known| &known.reads) {
            draft.lock(read, LockMode::AccessShare);
            draft.scan(read);
        }
        if concurrently {
            draft.lock(&view, LockMode::Exclusive);
            draft.scan(&view);
        } else {
            draft.lock(&view, LockMode::AccessExclusive);
            draft.rewrite(&view);
        }
    }
}

/// A new or validated constraint of a domain is checked in every table that has a column of it.
fn alter_domain(catalogue: &mut Catalogue, draft: &mut Draft, domain: &ast::AlterDomain) {
    let node = domain.syntax();
    let Some(name) = domain.domain_ref().map(|name| tree::name(name.syntax())) else { return };
    let name = tree::base(&name).to_owned();
    let checks = match domain.action() {
        Some(ast::AlterDomainAction::AddConstraint(_)) => !tree::has(node, SyntaxKind::NOT_VALID),
        Some(ast::AlterDomainAction::SetNotNull(_) | ast::AlterDomainAction::ValidateConstraint(_)) => true,
        _ => return,
    };
    if let Some(known) = catalogue.domains.get_mut(&name) {
        known.constrained = true;
    }
    if !checks {
        return;
    }
    draft.rule(rules::VALIDATION);
    if !catalogue.complete {
        draft.unread("which tables have columns of the domain is not known");
    }
    let uses = catalogue
        .tables
        .iter()
        .filter(|(_, table)| table.columns.values().any(|column| column.kind.name == name));
    for (table, _) in uses {
        draft.lock(table, LockMode::Share);
        draft.scan(table);
    }
}
