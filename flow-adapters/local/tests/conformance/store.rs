//! Holds the stores to their contracts: the file tree and the other end of the wire are the judges.

#[cfg(test)]
#[path = "store/assets.rs"]
mod assets;
#[cfg(test)]
#[path = "store/files.rs"]
mod files;
#[cfg(test)]
#[path = "store/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "store/server.rs"]
mod server;
#[cfg(test)]
#[path = "store/tree.rs"]
mod tree;
#[cfg(test)]
#[path = "store/wire.rs"]
mod wire;
