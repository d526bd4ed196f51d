//! What errors mean, by their numbers (<https://mariadb.com/kb/en/mariadb-error-code-reference/>).

use flow_core::{CancelToken, ErrorKind, StepError};
use sqlx::mysql::MySqlDatabaseError;

use crate::config::Server;

/// What the failure of a statement means: it left nothing behind, where its transaction is taken back.
pub(super) fn fault(error: sqlx::Error, cancel: &CancelToken) -> StepError {
    let (kind, message) = match number(&error) {
        None => (ErrorKind::Unknown, "the connection to the server broke"),
        Some(1205) => (ErrorKind::Unavailable, "another session holds a lock that the statement needs"),
        Some(1213) => (ErrorKind::Unavailable, "the transaction met another one and was taken back"),
        Some(1317) if cancel.is_cancelled() => (ErrorKind::Cancelled, "the statement was interrupted"),
        Some(1317 | 1969 | 3024) => {
            (ErrorKind::Failed, "the statement was interrupted or took longer than it may")
        }
        Some(1290 | 1792 | 1836) => (ErrorKind::Denied, "the server or the session is read-only"),
        Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419) => {
            (ErrorKind::Denied, "the user lacks a right")
        }
        Some(1021 | 1114) => (ErrorKind::Failed, "the server's disk is full"),
        Some(1040 | 1203 | 1226) => (ErrorKind::Unavailable, "the server lacks resources"),
        Some(1053 | 1077..=1080 | 1927) => (ErrorKind::Unknown, "the server ended the session"),
        Some(_) => (ErrorKind::Failed, "the server refused the statement"),
    };
    described(StepError::new(kind, message), error)
}

/// What the failure of `COMMIT` means. Refused by the server, nothing of the transaction stands.
pub(super) fn ending(error: sqlx::Error) -> StepError {
    let fault = fault(error, &CancelToken::new());
    if fault.kind().is_rejection() {
        return fault;
    }
    StepError::in_doubt("the end of the commit is not known").because(fault)
}

/// What a failure to connect means.
pub(super) fn connecting(error: sqlx::Error, server: &Server) -> StepError {
    let (kind, message) = match (number(&error), &error) {
        (Some(1049), _) => (ErrorKind::NotFound, "there is no such database"),
        (Some(1044 | 1045 | 1130 | 1698), _) => (ErrorKind::Denied, "the server refuses the user"),
        (_, sqlx::Error::Tls(_)) => (ErrorKind::Denied, "TLS with the server failed"),
        (_, sqlx::Error::Configuration(_)) => (ErrorKind::Invalid, "the connection cannot be configured"),
        _ => (ErrorKind::Unavailable, "the server cannot be reached"),
    };
    let error = described(StepError::new(kind, message), error);
    error.fact("host", &server.host).fact("port", server.port).fact("database", &server.database)
}

fn described(step: StepError, error: sqlx::Error) -> StepError {
    let step = match (number(&error), error.as_database_error()) {
        (Some(number), Some(said)) => step.fact("code", number).fact("mysql", said.message()),
        _ => step,
    };
    step.because(error)
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}
