//! The two steps of a release, and the asset store.

mod assets;
mod hosts;
mod link;
mod place;

pub use assets::HostAssets;
pub use hosts::Hosts;
pub use link::LinkRelease;
pub use place::PlaceRelease;
