//! Files and commands of this machine, below one directory.
//!
//! Paths are resolved by the kernel below the root (`openat2` with `RESOLVE_BENEATH`): links inside the root are followed
//! as long as they stay inside, and nothing that happens in the tree meanwhile leads out of it. Where the kernel has
//! no `openat2`, every link within a path is refused instead.
//!
//! Commands are bound to the root by their working directory alone: a program can reach what its user can reach.

mod adapter;
mod client;
mod config;
mod copy;
mod root;

pub use adapter::LocalHost;
pub use config::HostConfig;
