use std::collections::{BTreeMap, BTreeSet};

use super::server::{Product, Server};
use super::types::Type;

/// What is known of a database: tables with columns, constraints and indexes, types, and the session's time zone.
///
/// Earlier scripts advance it by [`lint`](super::lint), and a live catalogue is told as the DDL that would make it
/// ([`learn`](Self::learn)), such as a schema dump. What it does not know is taken for the worst.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub(crate) server: Server,
    /// Whether what is not known is not there.
    pub(crate) complete: bool,
    pub(crate) tables: BTreeMap<String, Table>,
    /// Types with a constraint of their own, or without: every domain by its name.
    pub(crate) domains: BTreeMap<String, Domain>,
    /// User functions that are immutable or stable.
    pub(crate) steady_functions: BTreeSet<String>,
    /// Relations that this script itself made: nobody else sees them yet.
    pub(crate) fresh: BTreeSet<String>,
    pub(crate) session: Session,
    pub(crate) default_session: Session,
}

/// The settings that a statement's impact hangs on.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) schema: String,
    pub(crate) time_zone: Option<String>,
    pub(crate) foreign_key_checks: bool,
    pub(crate) lock_timeout: bool,
}

/// A table or view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    pub(crate) columns: BTreeMap<String, Column>,
    pub(crate) constraints: BTreeMap<String, Constraint>,
    pub(crate) indexes: BTreeMap<String, Index>,
    /// Partitions and inheriting tables.
    pub(crate) children: BTreeSet<String>,
    pub(crate) rows: Option<u64>,
    pub(crate) unlogged: bool,
    /// MySQL: the storage engine and the character set, where they are said.
    pub(crate) engine: Option<String>,
    pub(crate) charset: Option<String>,
    /// Views: what they read.
    pub(crate) reads: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Table,
    /// A parent without rows of its own.
    Partitioned,
    View,
    MaterializedView,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) kind: Type,
    pub(crate) not_null: bool,
    pub(crate) charset: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Constraint {
    pub(crate) columns: BTreeSet<String>,
    /// The table that a foreign key points to, and its columns.
    pub(crate) references: Option<String>,
    pub(crate) referenced: BTreeSet<String>,
    /// The columns that a check keeps from being null.
    pub(crate) not_null: BTreeSet<String>,
    pub(crate) check: bool,
    pub(crate) valid: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) columns: BTreeSet<String>,
    pub(crate) primary: bool,
    /// Of columns alone, over all rows.
    pub(crate) plain: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Domain {
    pub(crate) base: Type,
    pub(crate) constrained: bool,
}

impl Catalogue {
    /// A database in which nothing is, so that what no script has made is not there.
    #[must_use]
    pub fn empty(server: Server) -> Self {
        let schema = match server.product {
            Product::Postgres => "public",
            Product::Sqlite => "main",
            Product::Mariadb | Product::Mysql => "",
        };
        let session = Session {
            schema: schema.to_owned(),
            time_zone: None,
            foreign_key_checks: server.product != Product::Sqlite,
            lock_timeout: false,
        };
        Self {
            server,
            complete: true,
            tables: BTreeMap::new(),
            domains: BTreeMap::new(),
            steady_functions: BTreeSet::new(),
            fresh: BTreeSet::new(),
            default_session: session.clone(),
            session,
        }
    }

    /// A database of which nothing is known: every table may be there, with any rows.
    #[must_use]
    pub fn unknown(server: Server) -> Self {
        Self { complete: false, ..Self::empty(server) }
    }

    /// With sessions in `time_zone`, as the server says it.
    #[must_use]
    pub fn in_time_zone(mut self, time_zone: &str) -> Self {
        self.default_session.time_zone = Some(time_zone.to_owned());
        self
    }

    /// With sessions that the migrator gives a lock timeout of its own.
    #[must_use]
    pub fn with_lock_timeout(mut self) -> Self {
        self.default_session.lock_timeout = true;
        self
    }

    /// Takes in the DDL of what is there already, and gives what of it could not be read.
    pub fn learn<'a>(&mut self, statements: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let unread = |(statement, impact): (&str, super::Impact)| match impact {
            super::Impact::Unvalidated { .. } => Some(statement.to_owned()),
            super::Impact::Predicted(_) => None,
        };
        let statements: Vec<_> = statements.into_iter().collect();
        let impacts = super::lint(self, statements.iter().copied());
        statements.into_iter().zip(impacts).filter_map(unread).collect()
    }

    /// Takes in how many rows `table` holds.
    pub fn count(&mut self, table: &str, rows: u64) {
        let name = self.resolve(table);
        self.tables.entry(name).or_default().rows = Some(rows);
    }

    /// The name of a relation as written, without the default schema's.
    pub(crate) fn resolve(&self, written: &str) -> String {
        let default = &self.default_session.schema;
        match written.split_once('.') {
            Some((schema, name)) if schema == default => name.to_owned(),
            Some(_) => written.to_owned(),
            None if self.session.schema == *default => written.to_owned(),
            // A search path's first schema, unless the relation stands in the default one alone.
            None => {
                let qualified = format!("{}.{written}", self.session.schema);
                let elsewhere = !self.tables.contains_key(&qualified) && self.tables.contains_key(written);
                if elsewhere { written.to_owned() } else { qualified }
            }
        }
    }

    /// Whether a relation is certainly not there.
    pub(crate) fn lacks(&self, relation: &str) -> bool {
        self.complete && !self.tables.contains_key(relation)
    }

    /// A relation with all below it.
    pub(crate) fn family(&self, relation: &str) -> Vec<String> {
        let mut family = vec![relation.to_owned()];
        let mut at = 0;
        while let Some(member) = family.get(at).cloned() {
            for child in self.tables.get(&member).into_iter().flat_map(|table| &table.children) {
                if !family.contains(child) {
                    family.push(child.clone());
                }
            }
            at += 1;
        }
        family
    }

    /// The foreign keys that point to `relation`: the table that has each, and the columns that it points to.
    pub(crate) fn pointing_to(&self, relation: &str) -> Vec<(String, BTreeSet<String>)> {
        let keys = self
            .tables
            .iter()
            .flat_map(|(table, known)| known.constraints.values().map(move |constraint| (table, constraint)));
        keys.filter(|(_, constraint)| constraint.references.as_deref() == Some(relation))
            .map(|(table, constraint)| (table.clone(), constraint.referenced.clone()))
            .collect()
    }

    /// The views that read `relation`, and those that read them.
    pub(crate) fn views_of(&self, relation: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut wanted = vec![relation.to_owned()];
        while let Some(read) = wanted.pop() {
            for (name, table) in &self.tables {
                if table.reads.contains(&read) && !found.contains(name) {
                    found.push(name.clone());
                    wanted.push(name.clone());
                }
            }
        }
        found
    }

    /// The table that an index stands on.
    pub(crate) fn table_of_index(&self, index: &str) -> Option<String> {
        let has = |(_, table): &(&String, &Table)| table.indexes.contains_key(index);
        self.tables.iter().find(has).map(|(name, _)| name.clone())
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(table) = self.tables.remove(from) {
            self.tables.insert(to.to_owned(), table);
        }
        let swap = |name: &mut String| {
            if name == from {
                *name = to.to_owned();
            }
        };
        for table in self.tables.values_mut() {
            table.constraints.values_mut().filter_map(|key| key.references.as_mut()).for_each(swap);
            for set in [&mut table.children, &mut table.reads] {
                if set.remove(from) {
                    set.insert(to.to_owned());
                }
            }
        }
        if self.fresh.remove(from) {
            self.fresh.insert(to.to_owned());
        }
    }

    pub(crate) fn drop_table(&mut self, relation: &str) {
        self.tables.remove(relation);
        self.fresh.remove(relation);
        for table in self.tables.values_mut() {
            table.constraints.retain(|_, key| key.references.as_deref() != Some(relation));
            table.children.remove(relation);
        }
    }
}

impl Table {
    /// Whether a check that is valid keeps `column` from being null.
    pub(crate) fn is_checked_not_null(&self, column: &str) -> bool {
        self.constraints.values().any(|check| check.valid && check.not_null.contains(column))
    }

    pub(crate) fn drop_column(&mut self, column: &str) {
        self.columns.remove(column);
        self.indexes.retain(|_, index| !index.columns.contains(column));
        self.constraints.retain(|_, constraint| !constraint.columns.contains(column));
    }

    pub(crate) fn rename_column(&mut self, from: &str, to: &str) {
        if let Some(column) = self.columns.remove(from) {
            self.columns.insert(to.to_owned(), column);
        }
        let sets = self.indexes.values_mut().map(|index| &mut index.columns);
        let sets = sets.chain(
            self.constraints
                .values_mut()
                .flat_map(|constraint| [&mut constraint.columns, &mut constraint.not_null]),
        );
        for set in sets {
            if set.remove(from) {
                set.insert(to.to_owned());
            }
        }
    }
}
