use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Metrics, Sample};
use flow_core::{Clock as _, ErrorKind, Name, StepError};
use tokio::time::Instant;

use super::clock::VirtualClock;
use super::fleet::{FakeFleet, Share};
use crate::ledger::Ledger;

/// The upper bounds of the buckets, in milliseconds.
const BOUNDS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];
/// The longest stretch of time over which the fleet counts as unchanged, between two routings.
const SLICE: Duration = Duration::from_millis(500);
/// What a request weighs in the sum of rates, shares and microseconds.
const REQUEST: u128 = 100 * 1_000_000;

/// Counters in memory: what users got from each version, counted in tokio's time.
///
/// Users come at the [rate](Self::traffic) of the test and go where the [fleet](Self::of_fleet) routes them, by its weights at every
/// moment. A request fails where it falls to an instance that is not healthy, and otherwise by the version's own
/// [quality](Self::answers). A test without a fleet [counts](Self::count) by hand. A service for which neither was ever done is not
/// watched: asking for it is [`NotFound`](ErrorKind::NotFound). A source that cannot be read is a
/// [fault](crate::fault::Fault::Refused) at `metrics.sample`.
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::{name, port::Metrics};
/// use flow_testkit::fake::{FakeMetrics, Quality};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let metrics = FakeMetrics::new();
/// metrics.count("web", "1.1.0", 200, Quality::good().failing(2_500));
/// let sample = metrics.sample(&name!("web"), &name!("1.1.0")).await?;
/// assert_eq!(sample.map(|sample| (sample.requests, sample.failures)), Some((200, 50)));
/// assert_eq!(metrics.sample(&name!("web"), &name!("1.0.0")).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FakeMetrics {
    ledger: Ledger,
    fleet: Option<FakeFleet>,
    clock: VirtualClock,
    services: Arc<Mutex<BTreeMap<String, Service>>>,
}

/// How a version answers its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    failures_per_10_000: u32,
    latency: Duration,
}

impl Quality {
    /// Every request answered well, in 5 ms.
    #[must_use]
    pub const fn good() -> Self {
        Self { failures_per_10_000: 0, latency: Duration::from_millis(5) }
    }

    /// So many of 10,000 requests fail; at most all of them do.
    #[must_use]
    pub const fn failing(mut self, of_10_000: u32) -> Self {
        self.failures_per_10_000 = if of_10_000 > 10_000 { 10_000 } else { of_10_000 };
        self
    }

    /// Each request takes this long.
    #[must_use]
    pub const fn taking(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }
}

#[derive(Debug)]
struct Service {
    epoch: u64,
    per_second: u64,
    /// Up to when it is counted.
    until: Instant,
    qualities: BTreeMap<String, Quality>,
    counters: BTreeMap<String, Counters>,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    requests: u64,
    failures: u64,
    latency: [u64; BOUNDS_MS.len() + 1],
    /// What is left of a request that is not whole yet.
    rest: u128,
    /// What is left of a failure that is not whole yet, in 10,000ths.
    failing: u64,
}

impl Counters {
    fn add(&mut self, requests: u64, quality: Quality) {
        self.requests += requests;
        self.failing += requests * u64::from(quality.failures_per_10_000);
        self.failures += self.failing / 10_000;
        self.failing %= 10_000;
        let bucket = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < quality.latency);
        if let Some(count) = self.latency.get_mut(bucket) {
            *count += requests;
        }
    }
}

impl Service {
    fn new() -> Self {
        let (qualities, counters) = (BTreeMap::new(), BTreeMap::new());
        Self { epoch: 1, per_second: 0, until: Instant::now(), qualities, counters }
    }

    /// Counts what came since it was last counted.
    fn catch_up(&mut self, name: &str, fleet: Option<&FakeFleet>) {
        let now = Instant::now();
        let Some(fleet) = fleet else {
            self.until = now;
            return;
        };
        while self.until < now {
            let slice = fleet.steady(name, self.until).unwrap_or(SLICE).min(SLICE);
            let slice = slice.min(now.saturating_duration_since(self.until));
            for share in fleet.shares(name, self.until) {
                self.send(&share, slice);
            }
            self.until += slice;
        }
    }

    fn send(&mut self, share: &Share, slice: Duration) {
        let quality = self.qualities.get(share.version.as_str()).copied().unwrap_or(Quality::good());
        let counters = self.counters.entry(share.version.as_str().to_owned()).or_default();
        counters.rest += u128::from(self.per_second) * u128::from(share.weight) * slice.as_micros();
        let requests = u64::try_from(counters.rest / REQUEST).unwrap_or(u64::MAX);
        counters.rest %= REQUEST;
        // The rest of a version's instances, those that are not healthy, fail all of their part.
        let well = u64::from(10_000 - quality.failures_per_10_000) * share.healthy / share.routed.max(1);
        let failing = u32::try_from(10_000_u64.saturating_sub(well)).unwrap_or(10_000);
        counters.add(requests, quality.failing(failing));
    }
}

impl FakeMetrics {
    /// A source that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A source that watches nothing yet and writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), ..Self::default() }
    }

    /// A source that watches where `fleet` sends its users, and writes into its ledger.
    #[must_use]
    pub fn of_fleet(fleet: &FakeFleet) -> Self {
        Self { fleet: Some(fleet.clone()), ..Self::in_ledger(fleet.ledger()) }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets users make `per_second` requests of `service` from now on.
    pub fn traffic(&self, service: &str, per_second: u64) {
        self.change(service, |service| service.per_second = per_second);
    }

    /// Lets `version` of `service` answer like this from now on; [`Quality::good`] unless told otherwise.
    pub fn answers(&self, service: &str, version: &str, quality: Quality) {
        self.change(service, |service| {
            service.qualities.insert(version.to_owned(), quality);
        });
    }

    /// Counts `requests` for `version` of `service` as if users had made them now.
    pub fn count(&self, service: &str, version: &str, requests: u64, quality: Quality) {
        self.change(service, |service| {
            service.counters.entry(version.to_owned()).or_default().add(requests, quality);
        });
    }

    /// Lets the counters of `service` begin again from zero, in a new epoch.
    pub fn begin_again(&self, service: &str) {
        self.change(service, |service| {
            service.counters.clear();
            service.epoch += 1;
        });
    }

    fn change(&self, service: &str, change: impl FnOnce(&mut Service)) {
        let mut services = self.services();
        let watched = services.entry(service.to_owned()).or_insert_with(Service::new);
        watched.catch_up(service, self.fleet.as_ref());
        change(watched);
    }

    fn read(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        let mut services = self.services();
        let Some(watched) = services.get_mut(service.as_str()) else {
            let unknown =
                StepError::new(ErrorKind::NotFound, "nobody counts what users get from this service");
            return Err(unknown.fact("service", service));
        };
        watched.catch_up(service.as_str(), self.fleet.as_ref());
        let counted = watched.counters.get(version.as_str()).filter(|counted| counted.requests > 0);
        Ok(counted.map(|counted| Sample {
            at: self.clock.now(),
            epoch: watched.epoch,
            requests: counted.requests,
            failures: counted.failures,
            bounds_ms: BOUNDS_MS.to_vec(),
            latency: counted.latency.to_vec(),
        }))
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Metrics for FakeMetrics {
    async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        self.ledger.read("metrics.sample", service, || self.read(service, version)).await
    }
}
