//! Writes the receipt of an order: reads `{"order": 7, "amount_cents": 1250}` and prints the receipt as JSON.

use std::io::{self, Read, Write};
use std::process::ExitCode;

const VERSION: &str = "@version@";
/// No event is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

fn main() -> ExitCode {
    let mut event = String::new();
    if let Err(error) = io::stdin().take(LONGEST).read_to_string(&mut event) {
        eprintln!("the event cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    let (Some(order), Some(amount)) = (integer(&event, "order"), integer(&event, "amount_cents")) else {
        eprintln!("the event has no whole numbers `order` and `amount_cents`");
        return ExitCode::FAILURE;
    };
    let sign = if amount < 0 { "-" } else { "" };
    let (units, cents) = (amount.unsigned_abs() / 100, amount.unsigned_abs() % 100);
    let receipt = format!(r#"{{"version":"{VERSION}","receipt":"order {order}: {sign}{units}.{cents:02}"}}"#);
    match writeln!(io::stdout(), "{receipt}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The whole number that follows `"field":`. The events are flat, so the first one is the one meant.
fn integer(event: &str, field: &str) -> Option<i64> {
    let (_, after) = event.split_once(&format!("\"{field}\""))?;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    let end = value.find([',', '}']).unwrap_or(value.len());
    value.get(..end)?.trim_end().parse().ok()
}
