//! MariaDB 10.6 and later, and MySQL 8.

mod connection;
mod fault;
mod footprint;
mod lock;
mod schema;
mod server;
mod tables;

pub(crate) use server::Mysql;
