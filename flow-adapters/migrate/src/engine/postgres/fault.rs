//! What errors mean, by their SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use flow_core::{CancelToken, ErrorKind, StepError};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::config::Server;

/// What the failure of a statement means: it left nothing behind, where its transaction is taken back.
pub(super) fn fault(error: sqlx::Error, cancel: &CancelToken) -> StepError {
    let Some(code) = code(&error) else {
        return StepError::in_doubt("the connection to the server broke").because(error);
    };
    let (kind, message) = match code.as_str() {
        "55P03" => (ErrorKind::Unavailable, "another session holds a lock that the statement needs"),
        "40001" | "40P01" => (ErrorKind::Unavailable, "the transaction met another one and was taken back"),
        "57014" if cancel.is_cancelled() => (ErrorKind::Cancelled, "the statement was interrupted"),
        "57014" => (ErrorKind::Failed, "the statement took longer than it may"),
        "25006" => (ErrorKind::Denied, "the server or the session is read-only"),
        "42501" => (ErrorKind::Denied, "the user lacks a right"),
        "08P01" if says_pooling(&error) => (ErrorKind::Denied, "a pooler stands before the server"),
        "53100" => (ErrorKind::Failed, "the server's disk is full"),
        "53000" | "53200" | "53300" => (ErrorKind::Unavailable, "the server lacks resources"),
        _ if is_fatal(&error) => (ErrorKind::Unknown, "the server ended the session"),
        _ => (ErrorKind::Failed, "the server refused the statement"),
    };
    described(StepError::new(kind, message), error)
}

/// What the failure of `COMMIT` means. Refused by the server, nothing of the transaction stands.
pub(super) fn ending(error: sqlx::Error) -> StepError {
    if is_fatal(&error) || error.as_database_error().is_none() {
        return described(StepError::in_doubt("the end of the commit is not known"), error);
    }
    fault(error, &CancelToken::new())
}

/// What a failure to connect means.
pub(super) fn connecting(error: sqlx::Error, server: &Server) -> StepError {
    let pooler = says_pooling(&error);
    let (kind, message) = match (code(&error).as_deref(), &error) {
        (Some("3D000"), _) => (ErrorKind::NotFound, "there is no such database"),
        (Some(code), _) if code.starts_with("28") => (ErrorKind::Denied, "the server refuses the user"),
        (Some("42501"), _) => (ErrorKind::Denied, "the user may not connect"),
        (Some("08P01"), _) if pooler => (ErrorKind::Denied, "a pooler stands before the server"),
        (_, sqlx::Error::Tls(_)) => (ErrorKind::Denied, "TLS with the server failed"),
        (_, sqlx::Error::Configuration(_)) => (ErrorKind::Invalid, "the connection cannot be configured"),
        _ => (ErrorKind::Unavailable, "the server cannot be reached"),
    };
    let error = described(StepError::new(kind, message), error);
    error.fact("host", &server.host).fact("port", server.port).fact("database", &server.database)
}

/// Whether PgBouncer refuses what it cannot give: a setting of the session, or a transaction where it pools statements.
fn says_pooling(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        ["startup parameter", "pooling mode"].iter().any(|said| error.message().contains(said))
    })
}

fn described(step: StepError, error: sqlx::Error) -> StepError {
    let step = match (code(&error), error.as_database_error().map(DatabaseError::message)) {
        (Some(code), Some(message)) => step.fact("code", code).fact("postgres", message),
        _ => step,
    };
    step.because(error)
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn is_fatal(error: &sqlx::Error) -> bool {
    let postgres = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    postgres.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}
