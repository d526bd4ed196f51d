use squawk_syntax::ast::{self, AlterTableAction as Action, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::catalogue::{Catalogue, Kind, Table};
use super::super::impact::LockMode;
use super::super::judge::Draft;
use super::{alter_column, constraint, rules, tree};

/// One `ALTER TABLE` under way: the relation, and the descendants that it reaches.
pub(super) struct Alter<'a> {
    pub(super) catalogue: &'a mut Catalogue,
    pub(super) draft: &'a mut Draft,
    pub(super) relation: String,
    pub(super) family: Vec<String>,
}

/// Judges `ALTER TABLE` and its like, action by action.
pub(super) fn alter(catalogue: &mut Catalogue, draft: &mut Draft, node: &SyntaxNode) {
    let kinds = [SyntaxKind::TABLE_NAME_REF, SyntaxKind::RELATION_NAME_REF, SyntaxKind::VIEW_REF];
    let Some(name) = tree::first(node, &kinds) else {
        return draft.unread("it changes tables that are not named");
    };
    let relation = catalogue.resolve(&tree::name(&name));
    if catalogue.lacks(&relation) && tree::holds(node, SyntaxKind::IF_EXISTS) {
        return;
    }
    let only = name.parent().is_some_and(|parent| tree::holds(&parent, SyntaxKind::ONLY_KW));
    let family = if only { vec![relation.clone()] } else { catalogue.family(&relation) };
    draft.rule(rules::LOCK_LEVEL);
    let mut alter = Alter { catalogue, draft, relation, family };
    if node.kind() == SyntaxKind::ALTER_MATERIALIZED_VIEW {
        // Its few actions are the table's, some under other names: most take the strongest lock.
        alter.lock_self(LockMode::AccessExclusive);
    }
    // The server drops before it does anything else.
    let (drops, others): (Vec<_>, Vec<_>) = node
        .children()
        .filter_map(Action::cast)
        .partition(|action| matches!(action, Action::DropColumn(_) | Action::DropConstraint(_)));
    for action in drops.iter().chain(&others) {
        alter.act(action);
    }
}

impl Alter<'_> {
    fn act(&mut self, action: &Action) {
        let node = action.syntax();
        match action {
            Action::AddColumn(add) => alter_column::add(self, add),
            Action::DropColumn(_) => alter_column::drop(self, node),
            Action::AlterColumn(column) => alter_column::alter(self, column),
            Action::RenameColumn(rename) => alter_column::rename(self, rename),
            Action::AddConstraint(_) => constraint::add(self, node),
            Action::DropConstraint(_) => constraint::drop(self, node),
            Action::ValidateConstraint(_) => constraint::validate(self, node),
            Action::RenameConstraint(rename) => constraint::rename(self, rename),
            Action::AttachPartition(_) => self.attach(node),
            Action::DetachPartition(_) => self.detach(node),
            Action::SplitPartition(_) | Action::MergePartitions(_) => {
                self.draft.unread("which partitions it writes anew is not known");
            }
            Action::InheritTable(_) | Action::NoInheritTable(_) => self.inherit(node),
            Action::TableRenameTo(rename) => self.rename(rename),
            Action::SetSchema(_) => self.move_to_schema(node),
            Action::SetUnlogged(_) => self.set_logged(true),
            Action::SetLogged(_) => self.set_logged(false),
            Action::SetTablespace(_) | Action::SetAccessMethod(_) => self.new_file(node),
            Action::ClusterOn(_) | Action::SetWithoutCluster(_) => {
                self.lock_self(LockMode::ShareUpdateExclusive);
            }
            Action::SetOptions(_) | Action::ResetOptions(_) => {
                // These two change what others may do; all other parameters do not.
                let strong = ["user_catalog_table", "security_barrier"];
                let words = tree::words(node);
                let mode = if strong.iter().any(|name| words.iter().any(|word| word == name)) {
                    LockMode::AccessExclusive
                } else {
                    LockMode::ShareUpdateExclusive
                };
                self.lock_self(mode);
            }
            Action::EnableTrigger(_)
            | Action::DisableTrigger(_)
            | Action::EnableAlwaysTrigger(_)
            | Action::EnableReplicaTrigger(_) => self.lock(LockMode::ShareRowExclusive),
            _ => self.lock_self(LockMode::AccessExclusive),
        }
    }

    /// Locks the relation and what it reaches.
    pub(super) fn lock(&mut self, mode: LockMode) {
        for member in &self.family {
            self.draft.lock(member, mode);
        }
    }

    pub(super) fn lock_self(&mut self, mode: LockMode) {
        self.draft.lock(&self.relation, mode);
    }

    pub(super) fn scan(&mut self) {
        for member in self.family.iter().filter(|member| holds_rows(self.catalogue, member)) {
            self.draft.scan(member);
        }
    }

    pub(super) fn rewrite(&mut self) {
        for member in self.family.iter().filter(|member| holds_rows(self.catalogue, member)) {
            self.draft.rewrite(member);
        }
    }

    /// The relation as it is known so far.
    pub(super) fn known(&self) -> Option<&Table> {
        self.catalogue.tables.get(&self.relation)
    }

    /// Changes what is known of the relation and of what it reaches.
    pub(super) fn change(&mut self, change: impl Fn(&mut Table)) {
        for member in &self.family {
            if let Some(table) = self.catalogue.tables.get_mut(member) {
                change(table);
            }
        }
    }

    fn other(&self, node: &SyntaxNode) -> Option<String> {
        tree::first(node, &[SyntaxKind::TABLE_NAME_REF])
            .map(|name| self.catalogue.resolve(&tree::name(&name)))
    }

    fn attach(&mut self, node: &SyntaxNode) {
        let Some(partition) = self.other(node) else { return };
        self.lock_self(LockMode::ShareUpdateExclusive);
        self.draft.rule(rules::PARTITION);
        for member in self.catalogue.family(&partition) {
            self.draft.lock(&member, LockMode::AccessExclusive);
            if holds_rows(self.catalogue, &member) {
                self.draft.scan(&member);
            }
        }
        self.draft.advise(
            "partition-attached-unchecked",
            format!("every row of `{partition}` is read under an exclusive lock"),
            "add a CHECK constraint that implies the bound to the partition first, NOT VALID, and validate it",
        );
        self.catalogue.tables.entry(self.relation.clone()).or_default().children.insert(partition);
    }

    fn detach(&mut self, node: &SyntaxNode) {
        let Some(partition) = self.other(node) else { return };
        let concurrently = tree::has(node, SyntaxKind::DETACH_CONCURRENTLY);
        let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
        self.lock_self(mode);
        self.draft.lock(&partition, mode);
        if let Some(parent) = self.catalogue.tables.get_mut(&self.relation) {
            parent.children.remove(&partition);
        }
    }

    fn inherit(&mut self, node: &SyntaxNode) {
        let Some(parent) = self.other(node) else { return };
        let joins = tree::holds(node, SyntaxKind::INHERIT_KW) && !tree::holds(node, SyntaxKind::NO_KW);
        self.lock_self(LockMode::AccessExclusive);
        self.draft.lock(&parent, if joins { LockMode::ShareUpdateExclusive } else { LockMode::AccessShare });
        let children = &mut self.catalogue.tables.entry(parent).or_default().children;
        if joins {
            children.insert(self.relation.clone());
        } else {
            children.remove(&self.relation);
        }
    }

    fn rename(&mut self, rename: &ast::TableRenameTo) {
        self.lock_self(LockMode::AccessExclusive);
        let Some(to) = rename.table_name() else { return };
        let to = qualify_like(&self.relation, &tree::name(to.syntax()));
        self.catalogue.rename(&self.relation, &to);
    }

    fn move_to_schema(&mut self, node: &SyntaxNode) {
        self.lock_self(LockMode::AccessExclusive);
        let Some(schema) = tree::words(node).pop() else { return };
        let to = format!("{schema}.{}", tree::base(&self.relation));
        let to = self.catalogue.resolve(&to);
        self.catalogue.rename(&self.relation, &to);
    }

    fn set_logged(&mut self, unlogged: bool) {
        self.lock_self(LockMode::AccessExclusive);
        self.draft.rule(rules::NEW_FILE);
        if self.known().is_none_or(|table| table.unlogged != unlogged) {
            self.draft.rewrite(&self.relation);
        }
        if let Some(table) = self.catalogue.tables.get_mut(&self.relation) {
            table.unlogged = unlogged;
        }
    }

    fn new_file(&mut self, node: &SyntaxNode) {
        self.lock_self(LockMode::AccessExclusive);
        let same =
            node.kind() == SyntaxKind::SET_ACCESS_METHOD && tree::words(node).ends_with(&["heap".to_owned()]);
        // `heap` is what every table is in.
        if !same && holds_rows(self.catalogue, &self.relation) {
            self.draft.rule(rules::NEW_FILE);
            self.draft.rewrite(&self.relation);
        }
    }
}

/// Whether a relation has rows of its own.
pub(super) fn holds_rows(catalogue: &Catalogue, relation: &str) -> bool {
    catalogue.tables.get(relation).is_none_or(|table| table.kind != Kind::Partitioned)
}

/// `name` in the schema that `relation` is in.
fn qualify_like(relation: &str, name: &str) -> String {
    relation.rsplit_once('.').map_or_else(|| name.to_owned(), |(schema, _)| format!("{schema}.{name}"))
}
