//! Holds the adapters to their contracts, judged from outside: the process table and the file tree.

#[cfg(test)]
#[path = "conformance/function.rs"]
mod function;
#[cfg(test)]
#[path = "conformance/host.rs"]
mod host;
#[cfg(test)]
#[path = "conformance/outside.rs"]
mod outside;
#[cfg(test)]
#[path = "conformance/process.rs"]
mod process;
#[cfg(test)]
#[path = "conformance/proxy.rs"]
mod proxy;
#[cfg(test)]
#[path = "conformance/store.rs"]
mod store;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
