//! Strict fakes of the ports: with state, and less forgiving than production.

mod clock;
mod configuration;
mod evidence;
mod fleet;
mod metrics;
mod prober;
mod host;
mod notifier;
mod rules;
mod vault;

pub use clock::VirtualClock;
pub use configuration::FakeConfiguration;
pub use evidence::MemoryEvidence;
pub use fleet::{Answered, FakeFleet, FleetInstances, FleetRouter, Moment, Trouble, UnderWay};
pub use metrics::{FakeMetrics, Quality};
pub use prober::{Arrival, FakeProber, Page};
pub use fleet::FakeFleet;
pub use host::{FakeHost, HostNode, Script};
pub use notifier::{FakeNotifier, Webhook};
pub use rules::FakeRules;
pub use vault::MemoryVault;
