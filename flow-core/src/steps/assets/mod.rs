//! Stage 4: the site's files, the cache in front of them, the domain, what readers get.

mod cache;
mod reachability;
mod site;
mod upload;

pub use cache::{CheckDomain, PurgeCache};
pub use reachability::CheckReachability;
pub use site::site;
pub use upload::{SiteFiles, UploadAssets};
