//! Whether a copy is the same as its source.

use flow_core::{Digest, ErrorKind, StepError};

use crate::schema::Schema;

/// Everything that stands in a database, as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) schema: Schema,
    pub(crate) tables: Vec<Table>,
}

/// One table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) digest: Digest,
}

/// Compares a restored copy's schema and tables with the source's.
pub(crate) fn compare(source: &Contents, copy: &Contents) -> Result<(), StepError> {
    let objects = source.schema.difference(&copy.schema);
    if !objects.is_empty() {
        return Err(differs().fact("objects", objects.join(", ")));
    }
    compare_tables(&port_tables(source), copy)
}

/// Compares a restored copy's tables with what a proof recorded.
pub(crate) fn compare_tables(proved: &[(String, u64, Digest)], copy: &Contents) -> Result<(), StepError> {
    let copied = port_tables(copy);
    let mut names: Vec<_> = proved
        .iter()
        .filter(|table| !copied.contains(table))
        .chain(copied.iter().filter(|table| !proved.contains(table)))
        .map(|(name, ..)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { Ok(()) } else { Err(differs().fact("tables", names.join(", "))) }
}

/// The port's form of the tables.
pub(crate) fn port_tables(contents: &Contents) -> Vec<(String, u64, Digest)> {
    contents.tables.iter().map(|table| (table.name.clone(), table.rows, table.digest)).collect()
}

fn differs() -> StepError {
    StepError::new(ErrorKind::Failed, "the restored copy differs from its source")
}
