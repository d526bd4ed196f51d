//! The machine's SSH server, and what is asked of it.

mod command;
mod connection;
mod connection_error;
mod copy;
mod files;
mod forward;
mod identity;
mod known_hosts;
mod local_file;
mod script;
mod sftp;

pub use connection_error::{ConnectionError, HostKeyProblem};
pub use forward::Forward;

pub(crate) use command::{Ended, execute};
pub(crate) use connection::Connection;
pub(crate) use copy::Copying;
pub(crate) use files::beside;
pub(crate) use sftp::Sftp;
