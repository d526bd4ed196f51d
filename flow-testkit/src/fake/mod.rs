//! Strict fakes of the ports: with state, and less forgiving than production.

mod assets;
mod builder;
mod cdn;
mod clock;
mod configuration;
mod database;
mod evidence;
mod fleet;
mod functions;
mod host;
mod images;
mod metrics;
mod migrator;
mod notifier;
mod prober;
mod rules;
mod source;
mod vault;

pub use assets::FakeAssets;
pub use builder::FakeBuilder;
pub use cdn::FakeCdn;
pub use clock::VirtualClock;
pub use configuration::FakeConfiguration;
pub use database::{Migration, Statement};
pub use evidence::MemoryEvidence;
pub use fleet::{Answered, FakeFleet, FleetInstances, FleetRouter, Moment, Trouble, UnderWay};
pub use functions::FakeFunctions;
pub use host::{FakeHost, HostNode, Script};
pub use images::FakeImages;
pub use metrics::{FakeMetrics, Quality};
pub use migrator::FakeMigrator;
pub use notifier::{FakeNotifier, Webhook};
pub use prober::{Arrival, FakeProber, Page};
pub use rules::FakeRules;
pub use source::FakeSource;
pub use vault::MemoryVault;
