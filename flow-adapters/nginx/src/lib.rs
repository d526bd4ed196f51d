//! nginx as a [`Router`](flow_core::port::Router): three ways to move traffic, chosen by what the application can do.
//!
//! | driver | the application listens on | a switch | weights | what nginx must do |
//! |---|---|---|---|---|
//! | [`SocketRouter`], [`link`](SocketConfig::link) | a Unix socket | one rename; the call waits for the disk | all at once | nothing |
//! | [`SocketRouter`], [`slots`](SocketConfig::slots) | a Unix socket | one rename for all slots | steps of 1 %, sticky if wanted | nothing |
//! | [`FileRouter`] | TCP, or a Unix socket | a reload, 100 ms or more | steps of 1 %, sticky if wanted | load our file |
//!
//! [`AccessLog`] counts what users got from each version, [`Metrics`](flow_core::port::Metrics) for the gates.
//!
//! # What it needs
//! - Linux, and nginx 1.19.10 or newer; `/proc` that shows other users' processes for [`FileRouter`];
//! - what [`block`](SocketConfig::block) and [`location`](SocketConfig::location) print, included by the user once. No file of a user's is
//!   ever written;
//! - for [`FileRouter`] the right to signal nginx's master, to read its configuration, and to write our own file.
//!
//! # What it can undo
//! Every routing is put back by routing to it again. A change that is refused, by us or by nginx, leaves the old one in force.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_core::port::Router;
//! use flow_core::{SystemClock, name};
//! use flow_nginx::{SocketConfig, SocketRouter, Stickiness};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SocketConfig {
//!     stickiness: Stickiness::Cookie("uid".to_owned()),
//!     ..SocketConfig::slots(name!("web"), "/var/lib/flow/web", "/var/log/nginx/flow-web.log")
//! };
//! // Saved once as a file that the user's nginx.conf includes.
//! assert!(config.block()?.contains("server unix:/var/lib/flow/web/live/00.sock"));
//! let router = SocketRouter::new(config, Arc::new(SystemClock::new()))?;
//! assert_eq!(router.granularity(), 1);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod block;
mod client;
mod config;
mod former;
mod generation;
mod history;
mod log;
mod share;
mod syntax;
mod table;
mod value;

pub use adapter::{AccessLog, FileRouter, SocketRouter, VersionCounts};
pub use config::{FileConfig, KeepAlive, Masking, SocketConfig, Stickiness, Timeouts};
