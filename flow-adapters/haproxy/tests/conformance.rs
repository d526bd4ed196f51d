//! Holds the router to its contract against a real HAProxy, judged by who answers real requests.

#[cfg(test)]
#[path = "conformance/change.rs"]
mod change;
#[cfg(test)]
#[path = "conformance/failure.rs"]
mod failure;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
#[cfg(test)]
#[path = "conformance/traffic.rs"]
mod traffic;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
