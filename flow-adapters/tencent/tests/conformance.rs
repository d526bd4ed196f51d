//! The API's envelope and the object storage over real connections: with a server that answers as it is told, and with a fake cloud that
//! verifies signatures by its own code and keeps what it is given.

#[cfg(test)]
#[path = "../src/skipping_clock.rs"]
mod skipping_clock;

#[cfg(test)]
#[path = "conformance/api.rs"]
mod api;
#[cfg(test)]
#[path = "conformance/cloud.rs"]
mod cloud;
#[cfg(test)]
#[path = "conformance/credentials.rs"]
mod credentials;
#[cfg(test)]
#[path = "conformance/file.rs"]
mod file;
#[cfg(test)]
#[path = "conformance/multipart.rs"]
mod multipart;
#[cfg(test)]
#[path = "conformance/objects.rs"]
mod objects;
#[cfg(all(test, feature = "tencentcloud-sdk-rs"))]
#[path = "conformance/sdk.rs"]
mod sdk;
#[cfg(test)]
#[path = "conformance/server.rs"]
mod server;
