//! The testkit's suites, against real SQLite files and real servers.

#[path = "suite/mariadb.rs"]
mod mariadb;
#[path = "suite/postgres.rs"]
mod postgres;
#[path = "suite/server.rs"]
mod server;
#[path = "suite/sqlite.rs"]
mod sqlite;
