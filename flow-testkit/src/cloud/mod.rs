//! A fake Tencent Cloud on loopback: functions, static content, its delivery, names and object storage.
//!
//! It speaks HTTP as the real one does, so what deploys against it may be in another process and in another language. It is the other
//! side: it verifies signatures by its own code, takes no parameter that the API does not describe, and keeps state. What only the
//! real cloud can tell is assumed, and said so where it is.
//!
//! One port serves everything: `POST` or `GET` with `X-TC-Action` is the API; `/__fake__/*` controls the fake; a host that was added as a domain of the
//! CDN is its edge; the rest is object storage, with the bucket in the host, as the first part of the path, or the default one.
//!
//! ```
//! use flow_testkit::cloud::{FakeCloud, FakeCloudConfig};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cloud = FakeCloud::start(&FakeCloudConfig::default()).await.unwrap();
//! assert!(cloud.url().starts_with("http://127.0.0.1:"));
//! assert!(cloud.log().is_empty());
//! # });
//! ```

mod cdn;
mod chance;
mod clock;
mod config;
mod control;
mod cos;
mod digests;
mod dnspod;
mod envelope;
mod fake_cloud;
mod faults;
mod log;
mod params;
mod query;
mod request;
mod scf;
mod server;
mod signature;
mod spec;
mod spelling;
mod world;

pub use clock::CloudClock;
pub use config::{FakeCloudConfig, Quotas, SECRET_ID, SECRET_KEY, StartError};
pub use fake_cloud::FakeCloud;
pub use faults::{Fault, Outcome, Target};
pub use log::Logged;
pub use scf::Invocation;
