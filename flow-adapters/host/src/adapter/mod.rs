//! The two steps of a release, the asset store, and the processes of several machines.

mod assets;
mod hosts;
mod link;
mod machine;
mod place;
mod processes;

pub use assets::HostAssets;
pub use hosts::Hosts;
pub use link::LinkRelease;
pub use machine::{Edge, Machine};
pub use place::PlaceRelease;
pub use processes::HostProcesses;
