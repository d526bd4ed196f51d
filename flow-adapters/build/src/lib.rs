//! Git sources, command builds and digest-pinned artefacts: stage 2 on one machine.
//!
//! [`GitSource`] finds the commit that a tag names in a clean repository and lays exactly that commit in a directory of
//! its own. [`CommandBuilder`] runs plain commands over such a tree and keeps what they made under
//! `releases/<sha256>/`, so that a release is built once and promoted, never built again.
//!
//! # What it needs
//! - Linux or another Unix, and `git` 2.31 or newer for [`GitSource`];
//! - directories of its own for work trees and releases, outside the repository. One `.flow` directory in each holds
//!   scratch space and build records.
//!
//! # What it can undo
//! - a checked-out tree is laid anew whenever it is not the commit's, so nothing depends on removing it;
//! - what a build kept is removed by [`discard`](flow_core::port::Builder::discard), unless another build kept the same bytes.
//!
//! # What it never does
//! It runs no shell, reads no environment variable and no home directory, reads no configuration of the repository, and
//! so runs none of the programs that a repository can name: hooks, filters, `core.fsmonitor`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use flow_build::{CommandBuilder, CommandConfig, GitConfig, GitSource};
//! use flow_core::port::{Builder, Source, SourceRequest};
//! use flow_core::{Permit, SystemClock, name};
//!
//! # async fn example(permit: &Permit) -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(SystemClock::new());
//! let source = GitSource::new(GitConfig::new("/srv/shop", "/srv/trees"), clock.clone())?;
//! let builder = CommandBuilder::new(
//!     CommandConfig::new("/srv/releases")
//!         .command(["rustc", "-O", "{tree}/main.rs", "-o", "{out}/shop"])
//!         .artifact(name!("shop"), "shop"),
//!     clock,
//! )?;
//!
//! let version = source.resolve(&SourceRequest { tag: "v1.1.0".to_owned() }).await?;
//! source.check_out(permit, &version).await?;
//! let built = builder.build(permit, &version).await?;
//! assert!(built.artifacts.contains_key(&name!("shop")));
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;
mod digest;
mod recipe;
mod tag;

pub use adapter::{CommandBuilder, GitSource};
pub use config::{CommandConfig, GitConfig, Limits, SEARCH_PATH};
