//! Strict fakes of the ports: with state, and less forgiving than production.

mod assets;
mod builder;
mod cdn;
mod clock;
mod database;
mod evidence;
mod fleet;
mod functions;
mod images;
mod migrator;
mod source;
mod vault;

pub use assets::FakeAssets;
pub use builder::FakeBuilder;
pub use cdn::FakeCdn;
pub use clock::VirtualClock;
pub use database::{Migration, Statement};
pub use evidence::MemoryEvidence;
pub use fleet::FakeFleet;
pub use functions::FakeFunctions;
pub use images::FakeImages;
pub use migrator::FakeMigrator;
pub use source::FakeSource;
pub use vault::MemoryVault;
