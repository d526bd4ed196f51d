use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::clock::CloudClock;
use super::config::{FakeCloudConfig, StartError};
use super::digests::hex;
use super::faults::Fault;
use super::log::Logged;
use super::scf::{Invocation, Program};
use super::server::serve;
use super::world::Cloud;

/// A running fake cloud; dropping it ends it, its connections too.
///
/// Its requests are answered by tasks of the runtime that started it: a test that blocks its only thread gets no answer.
#[derive(Debug)]
pub struct FakeCloud {
    address: SocketAddr,
    cloud: Arc<Cloud>,
    server: JoinHandle<()>,
}

impl FakeCloud {
    /// Starts a cloud that listens when this returns.
    ///
    /// # Errors
    ///
    /// If the address is not one of loopback, or is taken.
    pub async fn start(config: &FakeCloudConfig) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(config.listen));
        }
        let listener = listen(config.listen).await;
        let (listener, address) =
            listener.map_err(|source| StartError::Listen { address: config.listen, source })?;
        let config = FakeCloudConfig { listen: address, ..config.clone() };
        let cloud = Arc::new(Cloud::new(&config));
        let server = tokio::spawn(serve(listener, Arc::clone(&cloud)));
        Ok(Self { address, cloud, server })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its time, also as a clock for what is tested.
    #[must_use]
    pub fn clock(&self) -> CloudClock {
        self.cloud.clock.clone()
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.cloud.with(|world| world.faults.add(fault));
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.cloud.with(|world| world.faults.clear());
    }

    /// What was asked since the start or the last reset, in the order of the ends.
    #[must_use]
    pub fn log(&self) -> Vec<Logged> {
        self.cloud.with(|world| world.log.clone())
    }

    /// Forgets everything but the registered functions, and sets the clock back to the machine's.
    pub fn reset(&self) {
        self.cloud.reset();
    }

    /// Lets changes take this long, by the cloud's clock.
    pub fn changes_take(&self, delay: Duration) {
        self.cloud.with(|world| world.delay = delay);
    }

    /// Refuses what is more than so many requests a second for each action; 0 refuses none.
    pub fn throttle_at(&self, requests_a_second: u32) {
        self.cloud.with(|world| world.qps = requests_a_second);
    }

    /// Runs this whenever a function with this code (the zip's bytes) is invoked. An error is the function's own.
    pub fn register<F>(&self, code: &[u8], function: F)
    where
        F: Fn(&Invocation) -> Result<Value, String> + Send + Sync + 'static,
    {
        self.cloud.register(hex(&Sha256::digest(code)), Program::new(function));
    }

    /// The objects of a bucket, by their keys; empty for an unknown bucket.
    #[must_use]
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.cloud.with(|world| world.storage.contents(bucket))
    }

    /// Writes an object, or removes it, past the API. The bucket is made if need be.
    pub fn change_object(&self, bucket: &str, key: &str, content: Option<&[u8]>) {
        self.cloud.with(|world| {
            let (now, version) = (world.now, world.chance.next());
            world.storage.change(bucket, key, content, now, version);
        });
    }

    /// Flips a bit of a stored object and leaves what is told of it; false if there is no such object.
    #[must_use]
    pub fn corrupt_object(&self, bucket: &str, key: &str) -> bool {
        self.cloud.with(|world| world.storage.corrupt(bucket, key))
    }

    /// Puts a domain of the CDN before a bucket: online at once.
    pub fn serve_domain(&self, domain: &str, bucket: &str) {
        self.cloud.with(|world| {
            let now = world.now;
            world.cdn.serve(domain, bucket, now);
        });
    }

    /// Sets a domain's status, like `offline`; false if there is no such domain.
    #[must_use]
    pub fn domain_becomes(&self, domain: &str, status: &str) -> bool {
        self.cloud.with(|world| world.cdn.becomes(domain, status))
    }

    /// Adds a record to a domain's zone, which is made if need be.
    pub fn add_record(&self, domain: &str, subdomain: &str, kind: &str, value: &str) {
        self.cloud.with(|world| {
            let now = world.now;
            world.zones.add(domain, subdomain, kind, value, now);
        });
    }
}

impl Drop for FakeCloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A port of its own for each cloud of this process, and others for other processes: below those that the system gives to clients.
async fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const PORTS: u32 = 12_000;
    if address.port() != 0 {
        let listener = TcpListener::bind(address).await?;
        return Ok((listener, address));
    }
    let mut refused = None;
    for _ in 0..200 {
        let offset = std::process::id().wrapping_mul(37) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + offset % PORTS).unwrap_or(20_000);
        let address = SocketAddr::new(address.ip(), port);
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok((listener, address)),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}
