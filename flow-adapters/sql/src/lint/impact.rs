use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What one statement does to a running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// It was understood.
    Predicted(Prediction),
    /// It was not, or does more than its text shows. Production refuses it unless it was rehearsed.
    Unvalidated {
        /// Why.
        reason: String,
    },
}

/// What a statement takes, reads and writes anew. Relations outside of the default schema are named with theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The strongest lock on each table and view that stood there before, until the end of the transaction.
    pub locks: BTreeMap<String, LockMode>,
    /// The relations that are written anew, whole.
    pub rewrites: BTreeSet<String>,
    /// The relations whose rows are all read.
    pub scans: BTreeSet<String>,
    /// The cheapest way in which MariaDB or MySQL can do it.
    pub algorithm: Option<Algorithm>,
    /// What says so.
    pub rules: Vec<Rule>,
    /// What is better done otherwise.
    pub advice: Vec<Advice>,
}

/// A lock on a relation.
///
/// The modes of PostgreSQL in the order of their strength (<https://www.postgresql.org/docs/current/explicit-locking.html>),
/// those of `LOCK=` in MariaDB and MySQL, and the one lock of SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the servers' own")]
pub enum LockMode {
    #[serde(rename = "AccessShareLock")]
    AccessShare,
    #[serde(rename = "RowShareLock")]
    RowShare,
    #[serde(rename = "RowExclusiveLock")]
    RowExclusive,
    #[serde(rename = "ShareUpdateExclusiveLock")]
    ShareUpdateExclusive,
    #[serde(rename = "ShareLock")]
    Share,
    #[serde(rename = "ShareRowExclusiveLock")]
    ShareRowExclusive,
    #[serde(rename = "ExclusiveLock")]
    Exclusive,
    #[serde(rename = "AccessExclusiveLock")]
    AccessExclusive,
    /// Reads and writes go on (`LOCK=NONE`).
    #[serde(rename = "NONE")]
    None,
    /// Reads go on (`LOCK=SHARED`).
    #[serde(rename = "SHARED")]
    ReadsOnly,
    /// Nothing goes on (`LOCK=EXCLUSIVE`).
    #[serde(rename = "EXCLUSIVE")]
    Nothing,
    /// The database's one write lock (SQLite).
    #[serde(rename = "RESERVED")]
    Reserved,
}

/// How MariaDB or MySQL changes a table, from the cheapest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// The catalogue alone.
    Instant,
    /// Without writing the table anew (MariaDB).
    Nocopy,
    /// Inside the storage engine, perhaps by writing the table anew.
    Inplace,
    /// Row by row into a new table.
    Copy,
}

/// A rule that a prediction follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Where it stands written, or how it was measured.
    pub source: String,
}

/// What is better done otherwise, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The lint's name.
    pub lint: String,
    /// What is wrong.
    pub problem: String,
    /// The safe way.
    pub instead: String,
}
