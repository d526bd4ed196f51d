//! What stands on hosts, over the port [`Host`](flow_core::port::Host) alone: releases and static assets; and instances that run on
//! several machines.
//!
//! [`PlaceRelease`] brings a built artefact to hosts, as `releases/<digest>` below the root of each; a rollout starts it from
//! there; [`LinkRelease`] then points `current` to it and removes old releases. [`HostAssets`] is an
//! [`AssetStore`](flow_core::port::AssetStore) whose site a web server of the host serves. [`HostProcesses`] is a
//! [`ProcessManager`](flow_core::port::ProcessManager) over machines that each have their own. Which adapter reaches the host, this
//! machine's own or one over SSH, makes no difference.
//!
//! # What it needs
//! - hosts whose root is the application's own directory, with GNU `tar`, `cp`, `mv`, `rm`, `sync`, `find`, `pwd` and
//!   `mkdir`, for assets `sha256sum` too;
//! - a directory of this machine for archives on their way.
//!
//! # What it can undo
//! - a placed release is removed again, unless it is in force or a process runs from it: that is an error, and the release stays;
//! - `current` leads where it led before. Old releases that were removed stay removed, and none of them is one to go back to;
//! - a site serves again what it served, from content kept beside it;
//! - an instance that was stopped is launched again on the machine that it left, if the other instances stand as they did.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use flow_core::port::{Command, Host, HostPath};
//! use flow_core::stage::Services;
//! use flow_core::{Service, Work, name};
//! use flow_host::{Hosts, Install, LinkRelease, PlaceRelease, ReleaseConfig};
//!
//! # fn example(web_1: Arc<dyn Host>, web_2: Arc<dyn Host>, rollout: Work<Services>) -> Result<(), Box<dyn std::error::Error>> {
//! let hosts = Hosts::new().and(name!("web-1"), web_1).and(name!("web-2"), web_2);
//! let mut release = ReleaseConfig::new(name!("shop"), "/var/lib/flow/archives");
//! release.shared = vec![HostPath::new("uploads")?];
//! release.install = Some(
//!     Install::npm_ci(Duration::from_mins(5))
//!         .reusing(HostPath::new("package-lock.json")?, HostPath::new("node_modules")?),
//! );
//! release.check = Some(Command::new("node", ["--check", "server.js"]));
//! release.check()?;
//!
//! // The hosts' root is `/srv/shop`, so the rollout starts the release from below that.
//! let mut service = Service::new(name!("shop"));
//! service.releases = Some("/srv/shop/releases".into());
//! service.program = Some(HostPath::new("server.js")?);
//!
//! let services = Work::step(PlaceRelease::new(hosts.clone(), release.clone()))
//!     .then_work(rollout)
//!     .then(LinkRelease::new(hosts, release));
//! # drop((services, service));
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;

pub use adapter::{Edge, HostAssets, HostProcesses, Hosts, LinkRelease, Machine, PlaceRelease};
pub use config::{Install, ReleaseConfig, Reuse, ServedHeader, ServedSite};
