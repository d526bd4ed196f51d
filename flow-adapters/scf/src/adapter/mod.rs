//! The ports: functions as a platform, an alias as a router.

mod alias;
mod code;
mod functions;
mod live;
mod prune;
mod triggers;

pub use alias::ScfAlias;
pub use functions::ScfFunctions;
pub use triggers::Bypass;
