use std::sync::Arc;

use super::cache::{CheckDomain, PurgeCache};
use super::reachability::CheckReachability;
use super::upload::{SiteFiles, UploadAssets};
use crate::port::{AssetStore, Cdn, Prober};
use crate::stage::Assets;
use crate::work::Work;

/// The whole stage for one site that readers reach under `base_url`: upload, purge, domain, reachability.
pub fn site(
    store: Arc<dyn AssetStore>,
    cdn: Arc<dyn Cdn>,
    prober: Arc<dyn Prober>,
    files: SiteFiles,
    base_url: impl Into<String>,
) -> Work<Assets> {
    Work::step(UploadAssets::new(store.clone(), files).behind(cdn.clone()))
        .then(PurgeCache::new(cdn.clone()))
        .then(CheckDomain::new(cdn))
        .then(CheckReachability::new(store, prober, base_url))
}
