//! Holds the adapters to their contracts, judged from outside: the process table and the file tree.

#[path = "conformance/function.rs"]
mod function;
#[path = "conformance/host.rs"]
mod host;
#[path = "conformance/process.rs"]
mod process;
#[path = "conformance/proxy.rs"]
mod proxy;
#[path = "conformance/store.rs"]
mod store;
