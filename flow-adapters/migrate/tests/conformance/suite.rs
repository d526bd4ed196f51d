//! The testkit's suites, against real SQLite files and real servers.

#[path = "suite/mariadb.rs"]
mod mariadb;
#[path = "suite/migrator.rs"]
mod migrator;
#[path = "suite/postgres.rs"]
mod postgres;
#[path = "suite/server.rs"]
mod server;
