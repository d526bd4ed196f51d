//! Holds the adapter to its contract against real PM2 daemons, judged from outside: the process table, the file tree, PM2's own list.

#[cfg(test)]
#[path = "conformance/app.rs"]
mod app;
#[cfg(test)]
#[path = "conformance/cluster.rs"]
mod cluster;
#[cfg(test)]
#[path = "conformance/daemon.rs"]
mod daemon;
#[cfg(test)]
#[path = "conformance/ecosystem.rs"]
mod ecosystem;
#[cfg(test)]
#[path = "conformance/fuzz.rs"]
mod fuzz;
#[cfg(test)]
#[path = "conformance/orphan.rs"]
mod orphan;
#[cfg(test)]
#[path = "conformance/save.rs"]
mod save;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
#[cfg(test)]
#[path = "conformance/verdict.rs"]
mod verdict;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
