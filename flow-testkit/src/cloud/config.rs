use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

/// The key that the fake cloud knows by itself.
pub const SECRET_ID: &str = "AKIDFAKEFAKEFAKEFAKE00000000000001";

/// The secret of [`SECRET_ID`]; made up like it.
pub const SECRET_KEY: &str = "fakeSecretKey000000000000000001";

/// What a fake cloud is like when it starts, and again when it is reset.
#[derive(Clone)]
pub struct FakeCloudConfig {
    /// Where it listens, on loopback; with port 0 a free one below 32768 is taken.
    pub listen: SocketAddr,
    /// The key that requests are signed with.
    pub secret_id: String,
    /// Its secret.
    pub secret_key: String,
    /// The account's number, which ends the names of its buckets.
    pub appid: String,
    /// The region of the functions.
    pub region: String,
    /// The buckets that exist, with the account's number.
    pub buckets: Vec<String>,
    /// The domains whose records the account keeps.
    pub zones: Vec<String>,
    /// How long a change of a function, a domain or a cache takes, by the cloud's clock.
    pub delay: Duration,
    /// What the CDN allows.
    pub quotas: Quotas,
    /// How much it insists on.
    pub strictness: Strictness,
    /// What chance begins with.
    pub seed: u64,
}

/// How much the fake cloud insists on what a test of other things would have to prepare.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strictness {
    /// URLs that are purged or prefetched are of the account's domains.
    #[default]
    Full,
    /// As long as no domain was ever added, URLs of any host are purged and prefetched: for scripts of other tools, which
    /// know the control contract alone. The example `fake_cloud` is like that.
    Lenient,
}

/// What the CDN allows, in each of its two areas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// URLs in one purge.
    pub url_batch: usize,
    /// URLs in a day's purges.
    pub url_day: usize,
    /// Paths in one purge.
    pub path_batch: usize,
    /// Paths in a day's purges.
    pub path_day: usize,
    /// URLs in one prefetch.
    pub push_batch: usize,
    /// URLs in a day's prefetches.
    pub push_day: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            url_batch: 1000,
            url_day: 10_000,
            path_batch: 500,
            path_day: 100,
            push_batch: 500,
            push_day: 1000,
        }
    }
}

impl Default for FakeCloudConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret_id: SECRET_ID.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            appid: "1250000000".to_owned(),
            region: "ap-guangzhou".to_owned(),
            buckets: Vec::new(),
            zones: vec!["example.com".to_owned()],
            delay: Duration::from_secs(2),
            quotas: Quotas::default(),
            strictness: Strictness::Full,
            seed: 1,
        }
    }
}

impl fmt::Debug for FakeCloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is left out, made up as it may be.
        f.debug_struct("FakeCloudConfig")
            .field("listen", &self.listen)
            .field("secret_id", &self.secret_id)
            .field("appid", &self.appid)
            .field("region", &self.region)
            .field("buckets", &self.buckets)
            .field("zones", &self.zones)
            .field("delay", &self.delay)
            .field("quotas", &self.quotas)
            .field("strictness", &self.strictness)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Why a fake cloud could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It serves this machine alone.
    #[error("`{0}` is not an address of loopback")]
    NotLoopback(SocketAddr),
    /// The address is taken, or no port is free.
    #[error("nothing can listen at `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}
