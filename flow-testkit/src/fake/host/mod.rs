//! A machine in memory: a file tree, links and scripted commands.

mod adapter;
mod script;
mod tree;

pub use adapter::FakeHost;
pub use script::Script;
pub use tree::HostNode;
