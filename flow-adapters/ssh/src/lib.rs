//! Another machine over SSH: its commands, files, links and sockets.
//!
//! [`SshHost`] is the port [`Host`](flow_core::port::Host) on a machine that runs an OpenSSH server. Nothing of ours is
//! installed there: it needs `/bin/sh`, `env`, `timeout` and `/proc`, which every Linux system has.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use flow_core::SystemClock;
//! use flow_core::port::{Command, Host};
//! use flow_ssh::{Identity, SshConfig, SshHost};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), flow_core::StepError> {
//! let identity = Identity::File { path: "/etc/flow/id_ed25519".into(), passphrase: None };
//! let config = SshConfig::new("web1.example.com", "deploy", identity, "/etc/flow/known_hosts", "/srv/web");
//! let host = SshHost::new(config, Arc::new(SystemClock::new()))?;
//! host.reach().await?;
//! let uptime = host.query(&Command::new("uptime", ["--pretty"])).await?;
//! assert!(uptime.succeeded());
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;

pub use adapter::{SshHost, on_each};
pub use client::{ConnectionError, Forward, HostKeyProblem};
pub use config::{Identity, Passphrase, SshConfig, SshPatience};
