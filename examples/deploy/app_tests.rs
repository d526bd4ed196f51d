//! The sample application, judged from outside: what it reads is compared with what SQLite reads, and each release is built and
//! asked over HTTP.

#[path = "app/src/create_table.rs"]
mod create_table;
#[path = "app/src/database.rs"]
mod database;
mod reading;
mod releases;
#[path = "app/src/sqlite_file.rs"]
mod sqlite_file;
