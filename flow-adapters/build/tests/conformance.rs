//! What the adapters of this crate promise, against real Git, real programs and real files.

#[cfg(test)]
#[path = "conformance/command.rs"]
mod command;
#[cfg(test)]
#[path = "conformance/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "conformance/git.rs"]
mod git;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
