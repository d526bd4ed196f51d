//! PostgreSQL 12 and later.

mod connection;
mod fault;
mod footprint;
mod lock;
mod schema;
mod server;
mod tables;

pub(crate) use server::Postgres;
