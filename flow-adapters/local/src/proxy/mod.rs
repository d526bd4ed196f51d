//! An HTTP/1 reverse proxy that divides one service's traffic by weight, run as a process of its own.
//!
//! **Not for production**: no TLS, no HTTP/2, no upgrades (WebSocket), one service for each process, upstreams on this
//! machine only. It is what a deployment needs on a machine where nothing else is installed, and what its tests run
//! against. Put nginx or HAProxy in front of users.
//!
//! The embedding program executes itself again as the proxy, so that the proxy outlives the controller that started it:
//!
//! ```no_run
//! use flow_local::proxy::{ProxyConfig, ProxyError, serve};
//!
//! # async fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), ProxyError> {
//! // In `main`, before anything else: `program proxy STATE_DIR`.
//! if arguments.next().as_deref() == Some("proxy") {
//!     let state_dir = arguments.next().unwrap_or_default();
//!     return serve(ProxyConfig::load(state_dir.as_ref())?).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! and the controller steers it through a [`LocalRouter`]:
//!
//! ```no_run
//! # async fn run(permit: &flow_core::Permit, routing: flow_core::port::Routing) -> Result<(), Box<dyn std::error::Error>> {
//! use flow_core::{name, port::Router};
//! use flow_local::proxy::{LocalRouter, ProxyConfig, RouterConfig};
//!
//! let proxy = ProxyConfig::on_loopback(name!("web"), "/var/lib/shop/web-proxy", 8080);
//! let router = LocalRouter::new(RouterConfig::new(proxy, std::env::current_exe()?, ["proxy"]))?;
//! router.start(permit).await?;
//! router.route(permit, &name!("web"), &routing).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - Weights are exact in steps of 1 %: of every hundred requests in a row under one routing, each version gets its share.
//! - A switch fails no request. One under way finishes where it began; once [`route`] has returned, every request
//!   that went to an old address is in [`in_flight`] until its last byte, and none is added.
//! - A dead version is never masked: a request that fell to it is tried on its other addresses and otherwise answered
//!   502 and counted as its failure, never sent to another version.
//! - Routing is on the disk before it is in force, and a proxy that starts again serves it.
//!
//! [`route`]: flow_core::port::Router::route
//! [`in_flight`]: flow_core::port::Router::in_flight

mod address;
mod body;
mod config;
mod control;
mod counts;
mod endpoint;
mod error;
mod flights;
mod forward;
mod headers;
mod launch;
mod link;
mod process;
mod protocol;
mod router;
mod serve;
mod state;
mod switch;
mod table;

pub use config::{Limits, ProxyConfig, RouterConfig};
pub use error::ProxyError;
pub use process::ProxyProcess;
pub use router::LocalRouter;
pub use serve::serve;
