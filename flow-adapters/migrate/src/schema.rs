//! The schema as objects and their digest.

use std::collections::BTreeSet;

use flow_core::Digest;

use crate::engine::Row;

/// One table, index, view, trigger or routine of the catalogue, with its definition in one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) sql: String,
}

impl Object {
    /// An object from a row of kind, name, table and definition.
    pub(crate) fn from_row(row: Row) -> Option<Self> {
        let [kind, name, table, sql] = <[Option<String>; 4]>::try_from(row).ok()?;
        Some(Self {
            kind: kind?,
            name: name?,
            table: table.unwrap_or_default(),
            sql: sql.unwrap_or_default(),
        })
    }
}

/// The catalogue without what belongs to the server and to the migrator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schema(BTreeSet<Object>);

impl Schema {
    pub(crate) fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        Self(objects.into_iter().collect())
    }

    pub(crate) fn digest(&self) -> Digest {
        let fields =
            self.0.iter().flat_map(|object| [&object.kind, &object.name, &object.table, &object.sql]);
        Digest::of(fields.fold(String::new(), |dump, field| dump + field + "\0").as_bytes())
    }

    /// What the server says would make the tables, then everything else.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = &str> {
        let of = |tables: bool| self.0.iter().filter(move |object| (object.kind == "table") == tables);
        of(true).chain(of(false)).map(|object| object.sql.as_str()).filter(|sql| !sql.is_empty())
    }

    /// Everything but the objects of one kind.
    pub(crate) fn without(mut self, kind: &str) -> Self {
        self.0.retain(|object| object.kind != kind);
        self
    }

    /// The names of what stands in one of the two alone, or otherwise.
    pub(crate) fn difference(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.symmetric_difference(&other.0).map(|object| &object.name).collect();
        names.into_iter().cloned().collect()
    }
}
