use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flow_core::port::Sample;
use flow_core::{Clock, Entropy, Name, SystemClock, SystemEntropy};
use hyper::StatusCode;

const BOUNDS_MS: [u64; 14] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// The counters of every version that this process has routed.
#[derive(Debug)]
pub(super) struct Counts {
    epoch: u64,
    versions: Mutex<BTreeMap<Name, Arc<Tally>>>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { epoch: SystemEntropy.next(), versions: Mutex::default() }
    }

    pub(super) fn of(&self, version: &Name) -> Arc<Tally> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(versions.entry(version.clone()).or_default())
    }

    /// None where nothing was counted.
    pub(super) fn sample(&self, version: &Name) -> Option<Sample> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = Arc::clone(versions.get(version)?);
        drop(versions);
        let figures = tally.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (figures.requests > 0).then(|| Sample {
            at: SystemClock::new().now(),
            epoch: self.epoch,
            requests: figures.requests,
            failures: figures.failures,
            bounds_ms: BOUNDS_MS.to_vec(),
            latency: figures.latency.to_vec(),
        })
    }
}

/// The counters of one version.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Figures>);

#[derive(Debug, Clone, Default)]
struct Figures {
    requests: u64,
    failures: u64,
    latency: [u64; BOUNDS_MS.len() + 1],
}

impl Tally {
    /// A response that had begun well broke off: its request is a failure after all.
    pub(super) fn broke_off(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failures += 1;
    }

    fn count(&self, took: Duration, status: Option<StatusCode>) {
        let bucket = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.requests += 1;
        if status.is_none_or(|status| status.as_u16() >= 500) {
            figures.failures += 1;
        }
        if let Some(count) = figures.latency.get_mut(bucket) {
            *count += 1;
        }
    }
}

/// One request that waits for the head of its response. Dropped without one, it counts as a failure: a version that
/// hangs until its users give up is no healthy version.
#[derive(Debug)]
pub(super) struct Pending {
    tally: Arc<Tally>,
    since: Instant,
    status: Option<StatusCode>,
}

impl Pending {
    pub(super) fn new(tally: &Arc<Tally>) -> Self {
        Self { tally: Arc::clone(tally), since: Instant::now(), status: None }
    }

    pub(super) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.tally.count(self.since.elapsed(), self.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_by_an_error_or_not_at_all_is_a_failure() {
        let (counts, version) = (Counts::new(), flow_core::name!("1.0.0"));
        assert_eq!(counts.sample(&version), None);
        let tally = counts.of(&version);
        assert_eq!(counts.sample(&version), None, "routed, and nothing counted yet");
        for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
            Pending::new(&tally).answered(status);
        }
        drop(Pending::new(&tally));
        let sample = counts.sample(&version).unwrap();
        assert_eq!((sample.requests, sample.failures), (4, 2));
        assert_eq!(sample.latency.iter().sum::<u64>(), 4);
        assert_eq!(sample.latency.len(), sample.bounds_ms.len() + 1);
    }

    #[test]
    fn a_latency_falls_into_the_bucket_that_it_is_at_or_below() {
        let (counts, version) = (Counts::new(), flow_core::name!("1.0.0"));
        let tally = counts.of(&version);
        for (milliseconds, bucket) in [(0, 0), (1, 0), (2, 1), (3, 2), (30_000, 13), (30_001, 14)] {
            let before = counts.sample(&version).map_or(vec![0; 15], |sample| sample.latency);
            tally.count(Duration::from_millis(milliseconds), Some(StatusCode::OK));
            let after = counts.sample(&version).unwrap().latency;
            assert_eq!(after[bucket], before[bucket] + 1, "{milliseconds} ms");
        }
    }
}
