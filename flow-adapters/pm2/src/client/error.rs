use std::io;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::{ErrorKind, StepError};

/// Why the daemon cannot be reached. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// There is no socket: no daemon was ever started in this home, or it was ended in order.
    #[error("PM2's daemon was never started: there is no socket `{}`", .0.display())]
    NeverStarted(PathBuf),
    /// The socket is there and nobody listens: the daemon was killed. Apps in fork mode may live on without it.
    #[error("PM2's daemon was killed: nobody listens at its socket `{}`", .0.display())]
    Stale(PathBuf),
    /// The socket belongs to another user.
    #[error("PM2's socket `{}` may not be used by this user", .0.display())]
    Forbidden(PathBuf),
    /// The system gave another reason.
    #[error("PM2's socket `{}` cannot be reached: {reason}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl Absence {
    pub(crate) fn of(path: PathBuf, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NeverStarted(path),
            io::ErrorKind::ConnectionRefused => Self::Stale(path),
            io::ErrorKind::PermissionDenied => Self::Forbidden(path),
            _ => Self::Unreachable { path, reason: error.to_string() },
        }
    }

    /// Whether a daemon can be started there.
    pub(crate) const fn is_vacancy(&self) -> bool {
        matches!(self, Self::NeverStarted(_) | Self::Stale(_))
    }
}

/// Why a call of the daemon gave no result. No text shows what was sent or came back, either of which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no daemon to call; nothing was sent.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// The daemon is of another version than 5, 6 or 7; nothing but the question for it was sent.
    #[error("PM2 `{0}` is not one of 5, 6 and 7")]
    Version(String),
    /// The daemon has no such method, or one with another number of arguments, which would end it; nothing was sent.
    #[error("PM2's `{method}` takes {takes:?} arguments and not one")]
    Unsupported {
        /// The method.
        method: &'static str,
        /// How many arguments it takes, if it is there.
        takes: Option<usize>,
    },
    /// The call has no form that fits a frame; nothing was sent.
    #[error("the call does not fit into a frame")]
    Unwritable,
    /// The daemon answered with an error.
    #[error("PM2 answered: {0}")]
    Refused(String),
    /// The connection ended before the answer came.
    #[error("the connection to PM2 ended before its answer came")]
    Lost,
    /// No answer came in time.
    #[error("PM2 did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// An answer came that is none.
    #[error("PM2's answer to `{0}` cannot be read")]
    Unreadable(&'static str),
}

impl CallError {
    const fn kind(&self) -> ErrorKind {
        match self {
            Self::Absent(Absence::Forbidden(_)) => ErrorKind::Denied,
            Self::Absent(_) => ErrorKind::Unavailable,
            Self::Version(_) | Self::Unsupported { .. } => ErrorKind::Conflict,
            Self::Unwritable => ErrorKind::Invalid,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::Refused(_) | Self::Lost | Self::Unreadable(_) => ErrorKind::Unknown,
        }
    }
}

impl CallError {
    /// The error of a call that changes nothing, whether it arrived or not.
    pub(crate) fn of_a_look(self) -> StepError {
        let kind = if self == Self::Lost { ErrorKind::Unavailable } else { self.kind() };
        StepError::new(kind, "PM2 could not be asked").because(self)
    }
}

impl From<CallError> for StepError {
    fn from(error: CallError) -> Self {
        Self::new(error.kind(), "PM2 did not do what it was asked").because(error)
    }
}
