use super::super::catalogue::Catalogue;
use super::super::impact::{Algorithm, LockMode};
use super::super::judge::Draft;
use super::super::server::Product;

/// What the actions of one `ALTER TABLE` demand together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Columns are added or dropped in the catalogue alone.
    pub(super) reshapes: bool,
    /// An index is built.
    pub(super) builds_index: bool,
    /// An index is dropped.
    pub(super) drops_index: bool,
    /// The engine writes the table anew.
    pub(super) rebuilds: bool,
    /// Every row is copied into a new table.
    pub(super) copies: bool,
    /// Nobody may write meanwhile.
    pub(super) keeps_writers_out: bool,
    /// The table is renamed.
    pub(super) renames: bool,
    /// Anything else is done as well.
    pub(super) more: bool,
}

const ONLINE: (&str, &str) = (
    "the cheapest ALGORITHM and LOCK that InnoDB accepts for each action",
    "measured on MariaDB 10.11; https://mariadb.com/kb/en/innodb-online-ddl-overview/",
);
const MANUAL: (&str, &str) = (
    "the ALGORITHM and LOCK that MySQL's manual gives each action",
    "https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html",
);

impl Cost {
    /// Every row is copied.
    pub(super) const COPY: Self = Self { copies: true, more: true, ..Self::NOTHING };
    /// The engine writes the table anew.
    pub(super) const REBUILD: Self = Self { rebuilds: true, more: true, ..Self::NOTHING };
    /// The catalogue alone changes.
    pub(super) const INSTANT: Self = Self { more: true, ..Self::NOTHING };
    /// A column comes or goes in the catalogue alone.
    pub(super) const RESHAPE: Self = Self { reshapes: true, more: true, ..Self::NOTHING };
    /// An index is built.
    pub(super) const INDEX: Self = Self { builds_index: true, more: true, ..Self::NOTHING };
    /// An index is dropped.
    pub(super) const UNINDEX: Self = Self { drops_index: true, more: true, ..Self::NOTHING };
    const NOTHING: Self = Self {
        reshapes: false,
        builds_index: false,
        drops_index: false,
        rebuilds: false,
        copies: false,
        keeps_writers_out: false,
        renames: false,
        more: false,
    };

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            reshapes: self.reshapes || other.reshapes,
            builds_index: self.builds_index || other.builds_index,
            drops_index: self.drops_index || other.drops_index,
            rebuilds: self.rebuilds || other.rebuilds,
            copies: self.copies || other.copies,
            keeps_writers_out: self.keeps_writers_out || other.keeps_writers_out,
            renames: self.renames || other.renames,
            more: self.more || other.more,
        }
    }

    /// An instant column and a new index together write the table anew.
    const fn algorithm(self) -> Algorithm {
        if self.copies {
            Algorithm::Copy
        } else if self.rebuilds || (self.reshapes && self.builds_index) {
            Algorithm::Inplace
        } else if self.builds_index || self.drops_index || (self.renames && !self.more) {
            Algorithm::Nocopy
        } else {
            Algorithm::Instant
        }
    }

    const fn lock(self) -> LockMode {
        if self.renames && !self.more {
            LockMode::Nothing
        } else if self.copies || self.keeps_writers_out {
            LockMode::ReadsOnly
        } else {
            LockMode::None
        }
    }

    /// Writes down what it comes to for `table`.
    pub(super) fn charge(self, catalogue: &Catalogue, draft: &mut Draft, table: &str) {
        let mariadb = catalogue.server.product == Product::Mariadb;
        draft.rule(if mariadb { ONLINE } else { MANUAL });
        let algorithm = match self.algorithm() {
            Algorithm::Nocopy if !mariadb => Algorithm::Inplace,
            // Before 8 no column came without a new table.
            Algorithm::Instant if self.reshapes && !mariadb && catalogue.server.version.0 < 8 => {
                Algorithm::Inplace
            }
            algorithm => algorithm,
        };
        draft.algorithm(algorithm);
        draft.lock(table, self.lock());
        if self.copies || self.rebuilds || (self.reshapes && algorithm == Algorithm::Inplace) {
            draft.rewrite(table);
        } else if self.builds_index {
            draft.scan(table);
        }
        let filled = !catalogue.fresh.contains(table)
            && catalogue.tables.get(table).is_none_or(|known| known.rows != Some(0));
        if self.copies && filled {
            draft.advise(
                "table-copied",
                format!("every row of `{table}` is copied while nobody writes it"),
                "add the new beside the old, backfill in batches, switch over, and drop the old one later",
            );
        }
    }
}
