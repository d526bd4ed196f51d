//! What errors mean, by their codes (<https://www.sqlite.org/rescode.html>).

use flow_core::{ErrorKind, StepError};

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const FULL: i32 = 13;
const CONSTRAINT: i32 = 19;
/// `SQLITE_READONLY_RECOVERY` and `SQLITE_READONLY_ROLLBACK`.
const RECOVERY_DUE: [i32; 2] = [264, 776];

/// The code, extended.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The code's low byte: what class it is of.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    code(error).map(|code| code & 0xff)
}

pub(super) fn is_recovery_due(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| RECOVERY_DUE.contains(&code))
}

/// Whether a commit that failed so certainly left nothing.
pub(super) fn commit_left_nothing(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED | FULL | CONSTRAINT))
}

/// What a failure of SQLite means: a statement that fails leaves nothing behind, and neither does the transaction
/// that it fails in.
pub(super) fn fault(error: sqlx::Error) -> StepError {
    let (kind, message) = match primary_code(&error) {
        Some(BUSY | LOCKED) => (ErrorKind::Unavailable, "another connection holds the database's lock"),
        Some(3 | 8 | 23) => (ErrorKind::Denied, "the database does not let this connection write"),
        Some(14) => (ErrorKind::Denied, "the database file cannot be opened"),
        Some(9) => (ErrorKind::Cancelled, "the statement was interrupted"),
        Some(11) => (ErrorKind::Conflict, "the database file is damaged"),
        Some(26) => (ErrorKind::Conflict, "the file is no SQLite database"),
        Some(FULL) => (ErrorKind::Failed, "the disk is full"),
        Some(_) => (ErrorKind::Failed, "SQLite refused the statement"),
        None => (ErrorKind::Unknown, "the connection to the database broke"),
    };
    let fault = StepError::new(kind, message);
    let fault = match (code(&error), error.as_database_error()) {
        (Some(code), Some(database)) => {
            fault.fact("code", code).fact("sqlite", database.message().to_owned())
        }
        _ => fault,
    };
    fault.because(error)
}
