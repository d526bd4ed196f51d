//! The fake metrics, and sources that break one promise each.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Metrics, Sample};
use flow_core::{ErrorKind, Name, StepError, name};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::metrics::{Answering, MetricsFixture, Restart};
use flow_testkit::fake::{FakeMetrics, Quality};
use flow_testkit::fault::{At, Fault};

/// What a source does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    NothingIsZero,
    OneCounterForAll,
    ClientErrorsAreFailures,
    BrokenRequestsAreFine,
    ForgetsTheLastBucket,
    EverythingIsFast,
    OneEpochForEver,
    SamplingIsARequest,
    UnreadableIsNothing,
}

#[derive(Clone)]
struct Source {
    metrics: FakeMetrics,
    how: Break,
}

struct Fixture(Source);

async fn with(how: Break) -> Fixture {
    let metrics = FakeMetrics::new();
    metrics.traffic("web", 0);
    Fixture(Source { metrics, how })
}

#[async_trait]
impl MetricsFixture for Fixture {
    fn metrics(&self) -> Arc<dyn Metrics> {
        Arc::new(self.0.clone())
    }

    fn service(&self) -> Name {
        name!("web")
    }

    async fn request(&self, version: &Name, answering: Answering) -> Outside<()> {
        let failing = Quality::good().failing(10_000);
        let quality = match (answering, self.0.how) {
            (Answering::Status(400..), Break::ClientErrorsAreFailures) => failing,
            (Answering::Status(500..), _) => failing,
            (Answering::Nothing, how) if how != Break::BrokenRequestsAreFine => failing,
            (Answering::After(time), how) if how != Break::EverythingIsFast => Quality::good().taking(time),
            _ => Quality::good(),
        };
        self.0.metrics.count("web", version.as_str(), 1, quality);
        Ok(())
    }

    async fn restart(&self) -> Outside<Restart> {
        self.0.metrics.begin_again("web");
        Ok(Restart::BeganAgain)
    }

    async fn break_source(&self) -> Outside<()> {
        let gone = Fault::Refused(ErrorKind::Unavailable);
        self.0.metrics.ledger().faults().inject(At::call("metrics.sample").onwards(), gone);
        Ok(())
    }
}

#[async_trait]
impl Metrics for Source {
    async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        let found = self.metrics.sample(service, version).await;
        match self.how {
            Break::UnreadableIsNothing if found.is_err() => return Ok(None),
            Break::SamplingIsARequest => self.metrics.count("web", version.as_str(), 1, Quality::good()),
            Break::NothingIsZero if matches!(found, Ok(None)) => {
                let at = jiff::Timestamp::UNIX_EPOCH;
                let (bounds_ms, latency) = (vec![1], vec![0, 0]);
                return Ok(Some(Sample { at, epoch: 1, requests: 0, failures: 0, bounds_ms, latency }));
            }
            _ => {}
        }
        let Some(mut sample) = found? else { return Ok(None) };
        match self.how {
            Break::OneCounterForAll => {
                for other in [name!("1.0.0"), name!("1.1.0")] {
                    let other =
                        if other == *version { None } else { self.metrics.sample(service, &other).await? };
                    sample.requests += other.map_or(0, |other| other.requests);
                }
            }
            Break::ForgetsTheLastBucket => drop(sample.latency.pop()),
            Break::OneEpochForEver => sample.epoch = 1,
            _ => {}
        }
        Ok(Some(sample))
    }
}

mod fake {
    use super::{Break, with};

    flow_testkit::metrics_conformance!(|| with(Break::Nothing));
}

mod broken {
    use super::{Break, with};

    flow_testkit::broken_implementations! { metrics_conformance, metrics:
        nothing_counted_is_no_sample => || with(Break::NothingIsZero),
        every_request_is_counted_for_its_version_alone => || with(Break::OneCounterForAll),
        a_server_error_is_a_failure_and_a_client_error_is_none => || with(Break::ClientErrorsAreFailures),
        a_request_that_is_not_answered_is_a_failure => || with(Break::BrokenRequestsAreFine),
        the_buckets_ascend_and_add_up_to_the_requests => || with(Break::ForgetsTheLastBucket),
        a_slow_answer_is_counted_above_the_bounds_that_it_missed => || with(Break::EverythingIsFast),
        no_counter_falls_within_an_epoch => || with(Break::OneEpochForEver),
        sampling_counts_nothing => || with(Break::SamplingIsARequest),
        a_source_that_cannot_be_read_is_an_error => || with(Break::UnreadableIsNothing),
    }
}
