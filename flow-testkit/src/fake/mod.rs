//! Strict fakes of the ports: with state, and less forgiving than production.

mod clock;
mod evidence;
mod fleet;
mod vault;

pub use clock::VirtualClock;
pub use evidence::MemoryEvidence;
pub use fleet::{Answered, FakeFleet, FleetInstances, FleetRouter, Moment, Trouble, UnderWay};
pub use vault::MemoryVault;
