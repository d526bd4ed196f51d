//! Sites in COS behind the CDN, against the fake cloud: its log and its objects judge, and a reader before its edge.

#[cfg(test)]
#[path = "conformance/assets.rs"]
mod assets;
#[cfg(test)]
#[path = "conformance/cdn.rs"]
mod cdn;
#[cfg(test)]
#[path = "conformance/domain.rs"]
mod domain;
#[cfg(test)]
#[path = "conformance/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "conformance/flips.rs"]
mod flips;
#[cfg(test)]
#[path = "conformance/input.rs"]
mod input;
#[cfg(test)]
#[path = "conformance/kills.rs"]
mod kills;
#[cfg(test)]
#[path = "conformance/memory.rs"]
mod memory;
#[cfg(test)]
#[path = "conformance/purges.rs"]
mod purges;
#[cfg(test)]
#[path = "conformance/requests.rs"]
mod requests;
#[cfg(test)]
#[path = "conformance/side_by_side.rs"]
mod side_by_side;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
