use std::error::Error;
use std::path::PathBuf;

use flow_core::Problems;
use flow_core::journal::{AcquireError, AppendError, LoadError};

use crate::client::LAYOUT;

/// Why a journal could not be opened. Nothing was changed, but for an empty file that may have been made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration's values are wrong by themselves.
    #[error("the journal's configuration is invalid")]
    Invalid(#[source] Problems),
    /// The directory that is to hold the file does not exist or cannot be entered.
    #[error("the directory `{}` is missing", path.display())]
    MissingDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be made or written.
    #[error("`{}` is not writable", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is no SQLite database, or the database of something else.
    #[error("`{}` is not a journal: {problem}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// The file is a SQLite database that is damaged.
    #[error("`{}` is corrupted", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The layout was made by a later version of this library.
    #[error("`{}` has layout {found}, this library knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's layout.
        found: u32,
        /// The latest that this library knows.
        known: u32,
    },
    /// The file cannot be used now: another process keeps it locked, the disk is full or fails.
    #[error("`{}` is unavailable", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why a transaction came to no end of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Another process has brought the file to a later layout meanwhile.
    #[error("the journal store has layout {found}, this library knows up to {LAYOUT}")]
    Newer { found: u32 },
    /// SQLite refused or failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// What SQLite's result codes mean here. Extended codes carry the primary one in their low byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Corrupted,
    NotADatabase,
    Unwritable,
    Other,
}

/// Sorts an error of the database by what can be done about it.
pub(crate) fn kind(error: &sqlx::Error) -> Kind {
    let code = match error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        // A value that is not of its column's type was not written by this library.
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return Kind::Corrupted,
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => return Kind::Full,
        _ => None,
    };
    match code.map(|code| code & 0xff) {
        // SQLITE_FULL; SQLite reports ENOSPC so, too.
        Some(13) => Kind::Full,
        // SQLITE_CORRUPT
        Some(11) => Kind::Corrupted,
        // SQLITE_NOTADB
        Some(26) => Kind::NotADatabase,
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
        Some(3 | 8 | 14) => Kind::Unwritable,
        _ => Kind::Other,
    }
}

impl From<Failure> for AcquireError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) if kind(&error) == Kind::Full => Self::Full(Box::new(error)),
            failure => Self::Unavailable(Box::new(failure)),
        }
    }
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Newer { found } => Self::Newer { found, known: LAYOUT },
            failure @ Failure::Sql(_) => Self::Unavailable(Box::new(failure)),
        }
    }
}
