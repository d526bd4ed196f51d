//! What the lint foretells, beside what the servers did: the matrix of DDL operations, and hand-written variants of them
//! under other names, types, quotes and schemas.
//!
//! `ddl_matrix.json` and the two files of variants were measured on PostgreSQL 15 and 18 (locks of the transaction before it
//! ends, changed files, `pg_stat_xact_user_tables`) and on MariaDB 10.11 (the first pair of `ALGORITHM` and `LOCK` that it
//! accepts).

#[cfg(test)]
#[path = "impact/advice.rs"]
mod advice;
#[cfg(test)]
#[path = "impact/confusion.rs"]
mod confusion;
#[cfg(test)]
#[path = "impact/mariadb.rs"]
mod mariadb;
#[cfg(test)]
#[path = "impact/postgres.rs"]
mod postgres;
#[cfg(test)]
#[path = "impact/sqlite.rs"]
mod sqlite;
