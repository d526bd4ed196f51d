use crate::journal::Record;

/// What a run did, from its journal alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    records: Vec<Record>,
}

impl Report {
    /// The report of the run with these records.
    #[must_use]
    pub fn of(records: Vec<Record>) -> Self {
        Self { records }
    }

    /// The records that it was made from.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}
