use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::Catalogue;
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::{rules, statement, tree};

/// `DROP TABLE`, `DROP VIEW` and their like.
pub(super) fn relations(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let cascade = tree::has(node, SyntaxKind::CASCADE);
    let named = statement::named(catalogue, node);
    drop_all(catalogue, draft, &named, cascade);
}

fn drop_all(catalogue: &mut Catalogue, draft: &mut Draft, named: &[String], cascade: bool) {
    draft.rule(rules::LOCK_TABLE);
    let there = named.iter().filter(|relation| !catalogue.lacks(relation));
    let gone: Vec<String> = there.flat_map(|relation| catalogue.family(relation)).collect();
    for relation in &gone {
        draft.lock(relation, LockMode::AccessExclusive);
        let known = catalogue.tables.get(relation);
        for other in known
            .into_iter()
            .flat_map(|table| table.constraints.values())
            .filter_map(|key| key.references.clone())
        {
            draft.rule(rules::FOREIGN_KEY);
            draft.lock(&other, LockMode::AccessExclusive);
        }
        if cascade {
            let pointing = catalogue.pointing_to(relation).into_iter().map(|(table, _)| table);
            for dependent in pointing.chain(catalogue.views_of(relation)) {
                draft.lock(&dependent, LockMode::AccessExclusive);
            }
        }
    }
    for relation in gone {
        let views = if cascade { catalogue.views_of(&relation) } else { Vec::new() };
        for dropped in views.iter().chain([&relation]) {
            catalogue.drop_table(dropped);
        }
    }
}

/// `DROP INDEX`.
pub(super) fn indexes(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    draft.rule(rules::LOCK_TABLE);
    let concurrently = tree::holds(node, SyntaxKind::CONCURRENTLY_KW);
    let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
    for index in tree::all(node, &[SyntaxKind::INDEX_REF]) {
        let index = tree::base(&tree::name(&index)).to_owned();
        match catalogue.table_of_index(&index) {
            Some(table) => {
                for member in catalogue.family(&table) {
                    draft.lock(&member, mode);
                }
                if let Some(table) = catalogue.tables.get_mut(&table) {
                    table.indexes.remove(&index);
                }
            }
            None if catalogue.complete && tree::holds(node, SyntaxKind::IF_EXISTS) => {}
            None => draft.unread("the table of the index is not known"),
        }
    }
    if !concurrently && draft.locks().next().is_some() {
        draft.advise(
            "index-dropped-exclusively",
            "readers and writers of the table wait for the drop, and the drop for them",
            "DROP INDEX CONCURRENTLY, outside a transaction",
        );
    }
}

/// `DROP SCHEMA`.
pub(super) fn schema(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    if !tree::has(node, SyntaxKind::CASCADE) {
        return;
    }
    if !catalogue.complete {
        draft.unread("what stands in the schema is not known");
    }
    let schemas: Vec<_> = tree::all(node, &[SyntaxKind::SCHEMA_REF]).iter().map(tree::name).collect();
    let inside = |relation: &&String| {
        let schema =
            relation.rsplit_once('.').map_or(catalogue.default_session.schema.as_str(), |(schema, _)| schema);
        schemas.iter().any(|dropped| dropped == schema)
    };
    let named: Vec<_> = catalogue.tables.keys().filter(inside).cloned().collect();
    drop_all(catalogue, draft, &named, true);
}
