//! Talks to PM2's daemon: framing, calls, events, and the command that starts it.

mod amp;
mod app;
mod bus;
mod call;
mod command;
mod error;
mod home;
mod rpc;

pub(crate) use app::{App, Status};
pub(crate) use call::{ExecMode, Fixed, Prepare};
pub use command::CommandError;
pub(crate) use command::{Command, run};
pub use error::{Absence, CallError};
pub(crate) use home::Home;
