use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, Problems, StepError};

/// Why a proxy did not start or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The configuration is invalid.
    #[error("the configuration of the proxy is invalid")]
    Invalid(#[source] Problems),
    /// Somebody else listens on the address.
    #[error("the address `{address}` is taken")]
    AddressTaken {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another proxy runs on the same state directory.
    #[error("another proxy runs on `{path}`")]
    Locked {
        /// The lock that it holds.
        path: PathBuf,
    },
    /// A file of the state is not understood. It is left as it is.
    #[error("the state in `{path}` is not understood: {problem}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the state cannot be read or written.
    #[error("the state of the proxy cannot be used")]
    File(#[source] StepError),
    /// The lock or the control socket cannot be used.
    #[error("cannot use `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The proxy stopped with requests still under way, because they outlasted the drain timeout.
    #[error("{connections} connections outlasted the drain timeout and were cut off")]
    CutOff {
        /// How many.
        connections: usize,
    },
}

impl ProxyError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn state(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::State { path: path.to_owned(), problem: problem.to_string() }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::AddressTaken { .. } | Self::Locked { .. } | Self::State { .. } => ErrorKind::Conflict,
            Self::Listen { source, .. } | Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
                _ => ErrorKind::Unavailable,
            },
            Self::File(error) => error.kind(),
            Self::CutOff { .. } => ErrorKind::Unknown,
        }
    }
}

impl From<ProxyError> for StepError {
    fn from(error: ProxyError) -> Self {
        Self::new(error.kind(), "the proxy cannot run").because(error)
    }
}
