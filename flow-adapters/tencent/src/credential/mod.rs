//! Who asks: keys, and where they come from.

mod model;
mod provider;
mod refreshing;
mod tccli;

pub use model::{Credential, Secret};
pub use provider::Credentials;
pub(crate) use provider::held;
pub use refreshing::{Expiring, Refreshing};
pub use tccli::TccliFile;
