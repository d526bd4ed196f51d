//! Processes under PM2's daemon: an adapter of `flow` that speaks the daemon's own protocol, for PM2 5 to 7.
//!
//! [`Pm2Processes`] is a [`ProcessManager`](flow_core::port::ProcessManager). Instances run beside each other in one of two
//! [modes](Mode): as **colours**, each an app of its own at an address of its own that a router switches to, which loses no request; or in
//! PM2's **cluster**, one [replaced](Replacement) after another, which loses a few. [`ecosystem`] reads PM2's files as data.
//!
//! # What it needs
//! Linux, a PM2 home whose sockets this user may use, and a directory of its own for locks and notes. No Node: PM2's command is run only
//! to start a daemon that is missing, and only where [`Daemon::Start`] says so.
//!
//! # What it promises
//! - What PM2 calls an app's status proves nothing: it says `online` of what crashes at boot. Healthy is an instance that has run for a while
//!   as one process, that has answered or said that it is ready, and that is itself who listens at its address.
//! - The daemon is never sent what would end it: a call with the wrong number of arguments makes it start every app anew.
//! - A daemon that was never started, one that was killed and one of another user's are told apart: [`Absence`].
//! - Processes that a killed daemon has left are found by their environment, go on serving, and are ended like any other instance.
//!   PM2 cannot be given them back, and none is started twice.
//! - Environments are shown nowhere: PM2 keeps them in clear in its list.
//!
//! # What it can undo
//! A launch by a stop, and a stop by a launch with what [`launched`](flow_core::port::ProcessManager::launched) gave before it. PM2's logs stay.
//!
//! # Protocol
//! AMP frames over `rpc.sock` and `pub.sock`, as PM2's own client sends them: see PM2's `modules/pm2-axon` and `modules/pm2-axon-rpc`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_core::port::ProcessManager;
//! use flow_core::{SystemClock, name};
//! use flow_pm2::{Addresses, Pm2Config, Pm2Processes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let path = |name: &str| root.path().join(name);
//! let sockets = Addresses::Sockets { directory: path("run") };
//! let config = Pm2Config::new(path("pm2"), path("state"), sockets);
//! let processes = Pm2Processes::open(config, Arc::new(SystemClock::new()))?;
//! // No daemon was ever started in this home, so nothing runs in it.
//! assert!(processes.instances(&name!("web")).await?.is_empty());
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;
pub mod ecosystem;
mod file;

pub use adapter::{ListedApp, Pm2Processes, Replacement};
pub use client::{Absence, CallError, CommandError};
pub use config::{Addresses, Daemon, Mode, Pm2Config, Readiness, Restart};
