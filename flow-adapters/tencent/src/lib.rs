//! Tencent Cloud as adapters need it: signatures, credentials, the API's envelope and the object storage. A support crate without ports.
//!
//! - [`Api`] calls an action of API 3.0 ([`Action`]): signed, tried again where that is safe, every failure told by [`Failure`].
//! - [`Cos`] reads and writes one bucket: MD5 and CRC-64 of everything, uploads in parts, errors inside of status 200.
//! - [`Credentials`] are asked before every request: a fixed [`Credential`], a profile of the official command line tool
//!   ([`TccliFile`]), or temporary ones that are [`Refreshing`].
//! - [`tc3`] and [`q_sign`] are the two signatures, as pure functions.
//!
//! # What it needs
//! Nothing but HTTPS to `*.tencentcloudapi.com` and `*.myqcloud.com`, and a clock within 300 seconds of theirs. It trusts whom the machine
//! trusts, asks no proxy, and reads no environment.
//!
//! # What it can undo
//! Nothing by itself. It never sends a request again that may have been carried out: the caller gets [`Failure::InDoubt`] and reads the
//! state back. Reads and writes of objects do that themselves.
//!
//! # Features
//! `tencentcloud-sdk-rs`, off by default, adds `SdkDnspod`: questions to DNSPod through the crate of that name, which brings openssl and an
//! older reqwest and hyper. [`Api`] asks the same without it.
//!
//! # Waits
//! Between tries by the [`Clock`](flow_core::Clock) that is handed in; an exchange on the network has its limits in real time.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_core::SystemClock;
//! use flow_tencent::{Action, Api, ApiConfig, Credential, Failure, Nature};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize)]
//! #[serde(rename_all = "PascalCase")]
//! struct GetFunction {
//!     function_name: String,
//! }
//!
//! #[derive(Debug, Deserialize)]
//! #[serde(rename_all = "PascalCase")]
//! struct Function {
//!     status: String,
//! }
//!
//! impl Action for GetFunction {
//!     const NAME: &'static str = "GetFunction";
//!     type Answer = Function;
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ApiConfig {
//!     service: "scf".into(),
//!     version: "2018-04-16".into(),
//!     region: Some("ap-guangzhou".into()),
//!     endpoint: Some("http://127.0.0.1:9".into()),
//! };
//! let credential = Credential::new("AKID123", "secret", None)?;
//! let api = Api::new(config, Arc::new(credential), Arc::new(SystemClock::new()))?;
//! # let cancel = flow_core::CancelToken::new();
//! # cancel.cancel();
//! # let api = api.until(&cancel);
//! let ended = api.call(&GetFunction { function_name: "demo".into() }, Nature::Reads).await;
//! assert_eq!(ended.unwrap_err().failure(), Failure::Cancelled);
//! # Ok(())
//! # }
//! ```

mod api;
mod cos;
mod credential;
mod ending;
mod endpoint;
mod error;
mod failure;
mod patience;
#[cfg(feature = "tencentcloud-sdk-rs")]
mod sdk;
mod signature;
#[cfg(test)]
mod skipping_clock;
mod transport;

pub use api::{Action, Api, ApiConfig};
pub use cos::{
    Attributes, Cos, CosConfig, Digester, Digests, Download, Listed, NotDeleted, ObjectKey, ObjectMeta, Page,
    Part, Stored, Upload,
};
pub use credential::{Credential, Credentials, Expiring, Refreshing, Secret, TccliFile};
pub use ending::Nature;
pub use error::ApiError;
pub use failure::Failure;
#[cfg(feature = "tencentcloud-sdk-rs")]
pub use sdk::SdkDnspod;
pub use signature::Authorization;
pub use signature::{cos as q_sign, tc3};
