//! Private servers that stand for a team's own: what the examples on real programs deploy to, and the examples' own programs for their tests.

mod balancer;
mod local;
mod machine;
mod program;
mod release;

pub use balancer::Balancer;
pub use local::Local;
pub use machine::Machine;
pub use program::program;
pub use release::{crash_from_boot, node, release};
