//! PostgreSQL: locks, rewrites and scans by kind of statement and by type, as measured on 15 and 18.

mod advice;
mod alter_column;
mod alter_table;
mod constraint;
mod create;
mod drop;
mod expression;
mod query;
mod retype;
mod rules;
mod session;
mod statement;
mod tree;

pub(super) use statement::judge;
