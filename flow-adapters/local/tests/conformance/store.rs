//! Holds the stores to their contracts: the file tree and the other end of the wire are the judges.

#[path = "store/assets.rs"]
mod assets;
#[path = "store/files.rs"]
mod files;
#[path = "store/prober.rs"]
mod prober;
#[path = "store/rules.rs"]
mod rules;
#[path = "store/server.rs"]
pub(crate) mod server;
#[path = "store/tree.rs"]
pub(crate) mod tree;
#[path = "store/wire.rs"]
mod wire;
