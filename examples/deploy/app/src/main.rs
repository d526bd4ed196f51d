//! The shop: shows the orders of a database.

mod create_table;
mod database;
mod orders;
mod row;
mod server;
mod sqlite_file;

use std::fmt::Display;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use database::Database;
use row::{Row, quote};
use server::{Answer, Status, serve};

const VERSION: &str = "@version@";
/// How long a request waits for a migration that is being committed.
const PATIENCE: Duration = Duration::from_secs(5);
const USAGE: &str = "usage: shop --address HOST:PORT --database PATH";

fn main() -> ExitCode {
    let Some((address, database)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("`{address}`: {error}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("shop {VERSION} listens at {address}");
    let database = Database::new(database, "orders", PATIENCE);
    match serve(&listener, move |path| answer(&database, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("`{address}`: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The address and the database; nothing where anything else is given.
fn arguments() -> Option<(String, PathBuf)> {
    let (mut address, mut database) = (None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.to_str()? {
            "--address" => address = Some(value.into_string().ok()?),
            "--database" => database = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    address.zip(database)
}

fn answer(database: &Database, path: &str) -> Answer {
    if path == "/version" {
        return good(format!(r#"{{"version":{}}}"#, quote(VERSION)));
    }
    let table = match database.read() {
        Ok(table) => table,
        Err(error) if path == "/health" => return bad(Status::Unavailable, error),
        Err(error) => return bad(Status::ServerError, error),
    };
    let answered = match path {
        "/health" => Ok(format!(r#"{{"status":"ok","orders":{}}}"#, table.rows.len())),
        "/api/orders" => {
            let orders = Row::all(&table).map(orders::order).collect::<Result<Vec<_>, _>>();
            orders.map(|orders| format!("[{}]", orders.join(",")))
        }
        "/api/total" => orders::total(Row::all(&table)),
        _ => match path.strip_prefix("/api/orders/").map(str::parse) {
            Some(Ok(id)) => match Row::find(&table, id) {
                Some(row) => orders::order(row),
                None => return bad(Status::NotFound, format!("there is no order {id}")),
            },
            _ => return bad(Status::NotFound, "there is nothing here"),
        },
    };
    answered.map_or_else(|error| bad(Status::ServerError, error), good)
}

fn good(body: String) -> Answer {
    Answer { status: Status::Ok, body }
}

fn bad(status: Status, error: impl Display) -> Answer {
    // The log says what the caller is told, so that a failing version can be understood afterwards.
    if !matches!(status, Status::NotFound) {
        eprintln!("{error}");
    }
    Answer { status, body: format!(r#"{{"error":{}}}"#, quote(&error.to_string())) }
}
