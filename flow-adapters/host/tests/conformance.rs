//! The steps, the asset store and the processes against real files, commands and programs, below directories that stand for hosts.

#[cfg(test)]
#[path = "conformance/assets.rs"]
mod assets;
#[cfg(test)]
#[path = "conformance/fake.rs"]
mod fake;
#[cfg(test)]
#[path = "conformance/link.rs"]
mod link;
#[cfg(test)]
#[path = "conformance/place.rs"]
mod place;
#[cfg(test)]
#[path = "conformance/processes.rs"]
mod processes;
#[cfg(test)]
#[path = "conformance/served.rs"]
mod served;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
