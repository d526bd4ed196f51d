//! What the routers promise, against a real nginx.

#[cfg(test)]
#[path = "conformance/backend.rs"]
mod backend;
#[cfg(test)]
#[path = "conformance/file.rs"]
mod file;
#[cfg(test)]
#[path = "conformance/host.rs"]
mod host;
#[cfg(test)]
#[path = "conformance/socket.rs"]
mod socket;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
