//! Static sites on Tencent Cloud: the files in COS, the CDN before them, the domain.
//!
//! - [`CosAssets`] is an [`AssetStore`](flow_core::port::AssetStore) over one bucket, or one prefix of it.
//! - [`TencentCdn`] is a [`Cdn`](flow_core::port::Cdn): purges, prefetches, and looks at the domain with its name and certificate.
//!
//! # What it needs
//! A bucket, a domain of the CDN before it, and a key with the rights that the README lists. Whoever serves the bucket's files should know that
//! `.flow/` below the prefix holds old content of the site.
//!
//! # What it can undo
//! A [`put`](flow_core::port::AssetStore::put): whatever it overwrote or removed was copied to `.flow/kept/<sha256>` before, and comes back by another
//! copy on the server. A purge cannot be taken back; purging again after the files are back is what undoes its effect.
//!
//! # How the stage is put together
//! [`flow_core::steps::site`] takes both and a prober: it uploads, purges what changed, looks at the domain, and fetches every changed file
//! through the domain as a reader does.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_cdn::{CdnConfig, CosAssets, SiteConfig, TencentCdn};
//! use flow_core::port::{AssetRank, Prober};
//! use flow_core::stage::Assets;
//! use flow_core::steps::{CheckDomain, CheckReachability, PurgeCache, SiteFiles, UploadAssets};
//! use flow_core::{Problems, SystemClock, Work, name};
//! use flow_tencent::{Cos, CosConfig, Credential};
//!
//! fn shop(credential: Credential, prober: Arc<dyn Prober>) -> Result<Work<Assets>, Problems> {
//!     let (credential, clock) = (Arc::new(credential), Arc::new(SystemClock::new()));
//!     let bucket = CosConfig {
//!         bucket: "shop".into(),
//!         appid: "1250000000".into(),
//!         region: "ap-guangzhou".into(),
//!         endpoint: None,
//!     };
//!     let cos = Cos::new(&bucket, credential.clone(), clock.clone())?;
//!     let store = Arc::new(CosAssets::new(name!("shop-site"), cos, SiteConfig::new())?);
//!     let url = "https://www.example.com";
//!     let cdn = Arc::new(TencentCdn::new(CdnConfig::new(url), credential, clock)?);
//!     let reachable = CheckReachability::new(store.clone(), prober, url)
//!         .with_header(AssetRank::Hashed, "cache-control", "immutable");
//!     let upload = UploadAssets::new(store, SiteFiles::Directory("dist".into())).behind(cdn.clone());
//!     Ok(Work::step(upload).then(PurgeCache::new(cdn.clone())).then(CheckDomain::new(cdn)).then(reachable))
//! }
//! # use flow_core::port::{ProbeReply, ProbeRequest};
//! # struct Nobody;
//! # #[async_trait::async_trait]
//! # impl Prober for Nobody {
//! #     async fn get(&self, _: &ProbeRequest) -> Result<ProbeReply, flow_core::StepError> {
//! #         Err(flow_core::StepError::in_doubt("nobody answers"))
//! #     }
//! # }
//! # shop(Credential::new("AKID123", "secret", None).unwrap(), Arc::new(Nobody)).unwrap();
//! ```

mod adapter;
mod client;
mod config;

pub use adapter::{CosAssets, TencentCdn};
pub use config::{Area, CdnConfig, OverQuota, Prefetch, SiteConfig};
