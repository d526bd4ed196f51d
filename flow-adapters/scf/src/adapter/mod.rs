//! The ports: functions as a platform, an alias as a router, versions as instances.

mod alias;
mod code;
mod functions;
mod live;
mod prune;
mod triggers;
mod versions;

pub use alias::ScfAlias;
pub use functions::ScfFunctions;
pub use triggers::Bypass;
pub use versions::ScfVersions;
