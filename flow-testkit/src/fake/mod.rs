//! Strict fakes of the ports: with state, and less forgiving than production.

mod clock;
mod evidence;
mod fleet;
mod journal;
mod metrics;
mod prober;
mod step;
mod vault;

pub use clock::VirtualClock;
pub use evidence::MemoryEvidence;
pub use fleet::{Answered, FakeFleet, FleetInstances, FleetRouter, Moment, Trouble, UnderWay};
pub use journal::StrictJournal;
pub use metrics::{FakeMetrics, Quality};
pub use prober::{Arrival, FakeProber, Page};
pub(crate) use step::Scripts;
pub use step::{FakeStep, Told};
pub use vault::MemoryVault;
