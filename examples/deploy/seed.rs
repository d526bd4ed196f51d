//! The orders that staging and production have before the first deployment.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};
use thiserror::Error;

/// Whose orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orders {
    /// Two hundred sales.
    Staging,
    /// Two thousand orders; some are refunds, with amounts below zero, and some have long notes.
    Production,
}

/// How many orders there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seeded {
    /// All of them; their ids are `1..=orders`.
    pub(crate) orders: i64,
    /// Those with an amount below zero.
    pub(crate) refunds: i64,
}

/// Why a database could not be filled. Nothing was written then.
#[derive(Debug, Error)]
#[error("`{database}` cannot be filled")]
pub(crate) struct SeedError {
    database: String,
    source: sqlx::Error,
}

/// One order in twenty-five is a refund in production.
const REFUND: i64 = 25;
/// Long enough to need more than one page of the database.
const LONG_NOTE: usize = 6000;
const CUSTOMERS: [&str; 6] = ["Ada", "Grace", "Zoë", "李雷", "Søren \"S.\"", "O'Neil"];

/// Fills the empty table `orders` of release 1.0.0 in one transaction; the same rows each time.
///
/// # Errors
/// [`SeedError`] where the table is missing, or has orders already.
pub(crate) async fn fill(database: &Path, orders: Orders) -> Result<Seeded, SeedError> {
    insert_all(database, orders)
        .await
        .map_err(|source| SeedError { database: database.display().to_string(), source })
}

async fn insert_all(database: &Path, orders: Orders) -> Result<Seeded, sqlx::Error> {
    // The application reads the file itself, and so without a write-ahead log.
    let options = SqliteConnectOptions::new().filename(database).journal_mode(SqliteJournalMode::Delete);
    let mut connection: SqliteConnection = options.connect().await?;
    let count = match orders {
        Orders::Staging => 200,
        Orders::Production => 2000,
    };
    let mut refunds = 0;
    let mut transaction = connection.begin().await?;
    for id in 1..=count {
        let amount = amount_cents(id, orders);
        refunds += i64::from(amount < 0);
        sqlx::query("INSERT INTO orders (id, customer, amount_cents, note) VALUES (?, ?, ?, ?)")
            .bind(id)
            .bind(customer(id))
            .bind(amount)
            .bind(note(id, orders))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(Seeded { orders: count, refunds })
}

fn amount_cents(id: i64, orders: Orders) -> i64 {
    let amount = 99 + id * 7919 % 25_000;
    if orders == Orders::Production && id % REFUND == 0 { -amount } else { amount }
}

fn customer(id: i64) -> String {
    let names = CUSTOMERS.iter().cycle();
    let name = usize::try_from(id).ok().and_then(|id| names.clone().nth(id % CUSTOMERS.len()));
    format!("{} {id}", name.unwrap_or(&"nobody"))
}

fn note(id: i64, orders: Orders) -> Option<String> {
    match id {
        _ if orders == Orders::Production && id % 97 == 0 => Some("long ".repeat(LONG_NOTE / 5)),
        _ if id % 10 == 3 => Some("paid in CHF".to_owned()),
        _ if id % 10 == 7 => Some("paid in USD\nat the counter".to_owned()),
        _ if id % 4 == 0 => Some(format!("wrap as a gift, card {id}")),
        _ => None,
    }
}
