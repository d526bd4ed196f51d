//! Routes a service's traffic through the runtime socket of an HAProxy (2.5 or later): no reload, no process started.
//!
//! A service is the backend of its name. Its servers are declared at run time, and each carries its version and address in its
//! name, so that the next controller reads the whole routing from HAProxy itself. What HAProxy's configuration needs stands in
//! the crate's README.
//!
//! ```no_run
//! # async fn run(permit: &flow_core::Permit, routing: flow_core::port::Routing) -> Result<(), Box<dyn std::error::Error>> {
//! use flow_core::{name, port::Router};
//! use flow_haproxy::{HaproxyConfig, HaproxyRouter};
//!
//! let router = HaproxyRouter::new(HaproxyConfig::at("/run/haproxy/admin.sock"))?;
//! router.route(permit, &name!("web"), &routing).await?;
//! assert_eq!(router.routing(&name!("web")).await?, routing);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - Shares are exact in steps of 1 %, whatever the number of addresses; a routing whose shares cannot be given within half a
//!   percent is refused.
//! - A switch fails no request and leaves no moment without a server. It is several commands: for the fraction of a
//!   millisecond that they take, old and new servers both get requests.
//! - A request under way finishes where it began. Its server stays in maintenance, counted by [`in_flight`], until a later
//!   change finds it idle and removes it.
//! - A sequence that a crash cut short is carried to its end by the same call again.
//! - The latest fence stands in the backend, as a server that never serves; a call under an earlier one is refused.
//! - Servers that are not ours are never touched. One that gets requests is a conflict.
//!
//! # What it cannot undo
//!
//! HAProxy forgets servers that were declared at run time when it is started or reloaded. [`HaproxyRouter::server_lines`]
//! gives the lines that make it begin with what is in force.
//!
//! [`in_flight`]: flow_core::port::Router::in_flight

mod adapter;
mod address;
mod backend;
mod client;
mod config;
mod shares;
mod slot;

pub use adapter::HaproxyRouter;
pub use config::HaproxyConfig;
