use std::error::Error;
use std::io;

use flow_core::{ErrorKind, StepError};

/// Why a machine could not be reached, or was lost: the cause below the [`StepError`] of an [`SshHost`](crate::SshHost).
///
/// All but [`Vanished`](Self::Vanished) are certain: nothing was asked of the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// No connection came about: no such name, refused, no route.
    #[error("`{server}` cannot be reached")]
    Unreachable {
        /// The server that was asked for.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// What answers does not speak SSH, or no version or algorithm that we share.
    #[error("no SSH connection comes about")]
    Protocol(#[source] russh::Error),
    /// Connected, and then no answer in time.
    #[error("`{server}` does not answer while the connection is made")]
    Silent {
        /// The server that was asked for.
        server: String,
    },
    /// The server's key is not trusted. It was told neither the user nor anything else.
    #[error("the host key of `{server}` {problem}: {fingerprint}")]
    HostKey {
        /// The server, as `known_hosts` names it.
        server: String,
        /// The SHA-256 fingerprint of the key that the server has.
        fingerprint: String,
        /// Why it is not trusted.
        problem: HostKeyProblem,
    },
    /// The server does not take the user, or none of its keys.
    #[error("the server does not let `{user}` in with what it was offered")]
    Unauthenticated {
        /// The user that was asked for.
        user: String,
    },
    /// The connection was there and is lost.
    #[error("the connection to the host was lost")]
    Vanished,
}

/// Why a host key is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyProblem {
    /// The file of known hosts has no key for this server.
    #[error("is unknown")]
    Unknown,
    /// The file has another key for this server.
    #[error("is not the known one of line {line}")]
    Changed {
        /// The first line that is about this server.
        line: usize,
    },
    /// The file revokes this key.
    #[error("is revoked")]
    Revoked,
}

impl ConnectionError {
    /// The reason below `error`, if it is one of these.
    #[must_use]
    pub fn of(error: &StepError) -> Option<&Self> {
        error.source()?.downcast_ref()
    }
}

impl From<russh::Error> for ConnectionError {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<ConnectionError> for StepError {
    fn from(error: ConnectionError) -> Self {
        let (kind, message) = match &error {
            ConnectionError::HostKey { .. } => (ErrorKind::Denied, "the host's key is not trusted"),
            ConnectionError::Unauthenticated { .. } => (ErrorKind::Denied, "the host does not let us in"),
            ConnectionError::Vanished => (ErrorKind::Unavailable, "the host vanished"),
            _ => (ErrorKind::Unavailable, "the host cannot be reached"),
        };
        Self::new(kind, message).because(error)
    }
}
