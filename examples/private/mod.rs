//! Private servers that stand for a team's own: what the examples on real programs deploy to.

mod balancer;
mod local;
mod machine;
mod release;

pub use balancer::Balancer;
pub use local::Local;
pub use machine::Machine;
pub use release::{crash_from_boot, node, release};
