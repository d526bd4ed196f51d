//! Holds the functions and the router to their contracts against the fake cloud over HTTP, judged by who answers calls and by the cloud's log.

#[cfg(test)]
#[path = "conformance/canary.rs"]
mod canary;
#[cfg(test)]
#[path = "conformance/matrix.rs"]
mod matrix;
#[cfg(test)]
#[path = "conformance/refusal.rs"]
mod refusal;
#[cfg(test)]
#[path = "conformance/release.rs"]
mod release;
#[cfg(test)]
#[path = "conformance/rollout.rs"]
mod rollout;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
