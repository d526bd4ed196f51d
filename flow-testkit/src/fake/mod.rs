//! Strict fakes of the ports: with state, and less forgiving than production.

mod clock;
mod configuration;
mod evidence;
mod fleet;
mod host;
mod metrics;
mod notifier;
mod prober;
mod rules;
mod vault;

pub use clock::VirtualClock;
pub use configuration::FakeConfiguration;
pub use evidence::MemoryEvidence;
pub use fleet::{Answered, FakeFleet, FleetInstances, FleetRouter, Moment, Trouble, UnderWay};
pub use host::{FakeHost, HostNode, Script};
pub use metrics::{FakeMetrics, Quality};
pub use notifier::{FakeNotifier, Webhook};
pub use prober::{Arrival, FakeProber, Page};
pub use rules::FakeRules;
pub use vault::MemoryVault;
