//! What a site and its delivery are, as plain data.

mod delivery;
mod media;
mod site;

pub(crate) use delivery::Base;
pub use delivery::{Area, CdnConfig, OverQuota, Prefetch};
pub use site::SiteConfig;
