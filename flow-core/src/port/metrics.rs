use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::Name;

/// What was counted for one version of a service since its counters began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// When the counters were read.
    pub at: Timestamp,
    /// Changes whenever the counters begin again from zero; samples of two epochs are never subtracted.
    pub epoch: u64,
    /// Requests answered.
    pub requests: u64,
    /// Requests answered with a status of 500 or above, or not at all.
    pub failures: u64,
    /// The upper bounds of the latency buckets, in milliseconds, ascending.
    pub bounds_ms: Vec<u64>,
    /// Requests at or below each bound, not cumulated, and one more for those above the last.
    pub latency: Vec<u64>,
}

/// Counts what users get from each version of a service.
///
/// Within an epoch no counter ever falls, and the buckets add up to the requests. An implementor proves itself by
/// `flow_testkit::metrics_conformance!`.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// Reads the counters of `version` of `service`; none where nothing has been counted yet.
    ///
    /// # Errors
    /// Any kind where the source cannot be read or does not know `service`: that is a verdict of its own, never a pass.
    async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError>;
}
