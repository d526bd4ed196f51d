//! Where the predictions come from.

pub(super) type Source = (&'static str, &'static str);

pub(super) const LOCK_LEVEL: Source = (
    "the lock that each action of ALTER TABLE takes",
    "https://www.postgresql.org/docs/current/sql-altertable.html; AlterTableGetLockLevel in tablecmds.c",
);
pub(super) const LOCK_TABLE: Source =
    ("the lock that each command takes", "https://www.postgresql.org/docs/current/explicit-locking.html");
pub(super) const VOLATILE_DEFAULT: Source = (
    "a volatile default, a stored generated column or an identity column writes the table anew",
    "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
);
pub(super) const RETYPE: Source = (
    "a new type writes the table anew unless the old values are binary coercible to it",
    "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES; ATColumnChangeRequiresRewrite in tablecmds.c",
);
pub(super) const DEPENDENTS: Source = (
    "checks, indexes and foreign keys of a column with a new type are made again",
    "RememberAllDependentForRebuilding in tablecmds.c; measured on 15 and 18",
);
pub(super) const CONSTRAINED_DOMAIN: Source = (
    "a domain with a constraint writes the table anew",
    "DomainHasConstraints in tablecmds.c; measured on 15 and 18",
);
pub(super) const VALIDATION: Source = (
    "a constraint is checked against every row unless it is NOT VALID",
    "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT",
);
pub(super) const KNOWN_NOT_NULL: Source = (
    "SET NOT NULL reads no row where a valid check proves it",
    "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL",
);
pub(super) const FOREIGN_KEY: Source = (
    "a foreign key has triggers on both tables, so both are locked when it is made or dropped",
    "https://www.postgresql.org/docs/current/sql-altertable.html; measured on 15 and 18",
);
pub(super) const INDEX: Source = (
    "an index is built from every row, under a lock that keeps writers out unless CONCURRENTLY",
    "https://www.postgresql.org/docs/current/sql-createindex.html",
);
pub(super) const NEW_FILE: Source = (
    "the table gets a new file",
    "https://www.postgresql.org/docs/current/sql-cluster.html; TRUNCATE, VACUUM FULL, SET TABLESPACE, SET LOGGED likewise",
);
pub(super) const PARTITION: Source = (
    "a table's partition bound is checked against every row",
    "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-ATTACH-PARTITION",
);
pub(super) const ROWS: Source = (
    "rows are read or written under a lock that lets others do so too",
    "https://www.postgresql.org/docs/current/mvcc.html",
);
