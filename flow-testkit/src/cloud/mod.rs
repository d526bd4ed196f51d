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
//! use std::time::Duration;
//!
//! use flow_testkit::cloud::{FakeCloud, FakeCloudConfig};
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cloud = FakeCloud::start(&FakeCloudConfig::default()).await?;
//! // What runs when a function with this code is called, and what readers meet at a domain.
//! cloud.register(b"the bytes of a zip", |call| Ok(json!({ "hello": call.event["name"] })));
//! cloud.serve_domain("www.example.com", "site-1250000000");
//! // The next alias is moved, and the answer is lost on its way.
//! cloud.fault(serde_json::from_value(json!({ "kind": "drop_after", "service": "scf", "action": "UpdateAlias" }))?);
//!
//! // Here something deploys against `cloud.url()`; what takes its time ends when the clock says so.
//! cloud.clock().advance(Duration::from_secs(60));
//!
//! // And these judge it.
//! assert!(cloud.log().is_empty());
//! assert!(cloud.objects("site-1250000000").is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
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
pub use config::{FakeCloudConfig, Quotas, SECRET_ID, SECRET_KEY, StartError, Strictness};
pub use fake_cloud::FakeCloud;
pub use faults::{Fault, Outcome, Target};
pub use log::Logged;
pub use scf::Invocation;
