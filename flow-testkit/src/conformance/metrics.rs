//! What every [`Metrics`] promises, as checks.
//!
//! [`metrics_conformance!`](crate::metrics_conformance) makes a test of each. A source may count a request some time after it was
//! answered: the checks wait for counts, and never for long.

use crate::conformance::patience::Patience;
use crate::conformance::refusal::refusal;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Metrics, Sample};
use flow_core::{Name, name};

use crate::conformance::{Checked, Outside};

const OLD: Name = name!("1.0.0");
const NEW: Name = name!("1.1.0");
/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(300);

/// Makes one `#[tokio::test]` for every promise of [`Metrics`].
///
/// It takes an async function without arguments that gives a fresh [`MetricsFixture`]: no request was ever made.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use flow_core::port::Metrics;
/// use flow_core::{ErrorKind, Name, name};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::metrics::{Answering, MetricsFixture, Restart};
/// use flow_testkit::fake::{FakeMetrics, Quality};
/// use flow_testkit::fault::{At, Fault};
///
/// struct Fixture(FakeMetrics);
///
/// async fn fresh() -> Fixture {
///     let metrics = FakeMetrics::new();
///     metrics.traffic("web", 0);
///     Fixture(metrics)
/// }
///
/// #[async_trait::async_trait]
/// impl MetricsFixture for Fixture {
///     fn metrics(&self) -> Arc<dyn Metrics> {
///         Arc::new(self.0.clone())
///     }
///
///     fn service(&self) -> Name {
///         name!("web")
///     }
///
///     async fn request(&self, version: &Name, answering: Answering) -> Outside<()> {
///         let quality = match answering {
///             Answering::Status(status) if status >= 500 => Quality::good().failing(10_000),
///             Answering::Nothing => Quality::good().failing(10_000),
///             Answering::After(time) => Quality::good().taking(time),
///             _ => Quality::good(),
///         };
///         self.0.count("web", version.as_str(), 1, quality);
///         Ok(())
///     }
///
///     async fn restart(&self) -> Outside<Restart> {
///         self.0.begin_again("web");
///         Ok(Restart::BeganAgain)
///     }
///
///     async fn break_source(&self) -> Outside<()> {
///         let gone = Fault::Refused(ErrorKind::Unavailable);
///         self.0.ledger().faults().inject(At::call("metrics.sample").onwards(), gone);
///         Ok(())
///     }
/// }
///
/// flow_testkit::metrics_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! metrics_conformance {
    ($fresh:expr) => {
        $crate::metrics_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { metrics $with
            nothing_counted_is_no_sample
            every_request_is_counted_for_its_version_alone
            a_server_error_is_a_failure_and_a_client_error_is_none
            a_request_that_is_not_answered_is_a_failure
            the_buckets_ascend_and_add_up_to_the_requests
            a_slow_answer_is_counted_above_the_bounds_that_it_missed
            no_counter_falls_within_an_epoch
            sampling_counts_nothing
            a_source_that_cannot_be_read_is_an_error
        }
    };
}

/// How a version answers a request of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answering {
    /// At once, with this status.
    Status(u16),
    /// With 200, after this time.
    After(Duration),
    /// Not at all: the connection breaks, or nobody listens.
    Nothing,
}

/// What became of the counters when their source was started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// They began again from zero: a sample from before and one from after are of two epochs.
    BeganAgain,
    /// They were kept, and their epoch with them.
    Kept,
}

/// A source of metrics under test, and the users that it counts.
#[async_trait]
pub trait MetricsFixture: Send + Sync {
    /// The source under test: the same one on every call.
    fn metrics(&self) -> Arc<dyn Metrics>;

    /// The service that the checks use.
    fn service(&self) -> Name;

    /// Makes one request as a user would, which falls to `version` and is answered like this; returns when the user has the
    /// answer, or knows that there is none.
    async fn request(&self, version: &Name, answering: Answering) -> Outside<()>;

    /// Starts again whatever holds the counters, and says what became of them.
    async fn restart(&self) -> Outside<Restart>;

    /// Makes the source unreadable for good: ends whatever answers for the counters.
    async fn break_source(&self) -> Outside<()>;
}

async fn sample(fixture: &impl MetricsFixture, version: &Name) -> Outside<Option<Sample>> {
    Ok(fixture.metrics().sample(&fixture.service(), version).await?)
}

/// Makes `count` requests and gives the sample in which they are all counted.
async fn counted(
    fixture: &impl MetricsFixture,
    version: &Name,
    answering: Answering,
    count: u64,
) -> Outside<Sample> {
    let before = sample(fixture, version).await?.map_or(0, |sample| sample.requests);
    for _ in 0..count {
        fixture.request(version, answering).await?;
    }
    let patience = Patience::until("every request is counted");
    loop {
        let seen = sample(fixture, version).await?;
        let Some(seen) = seen.filter(|sample| sample.requests >= before + count) else {
            patience.wait().await?;
            continue;
        };
        assert_eq!(seen.requests, before + count, "more was counted than happened");
        return Ok(seen);
    }
}

/// Where nothing was counted for a version there is no sample, and not one of zeros.
pub async fn nothing_counted_is_no_sample(fixture: &impl MetricsFixture) -> Checked {
    assert_eq!(sample(fixture, &OLD).await?, None);
    counted(fixture, &OLD, Answering::Status(200), 1).await?;
    assert_eq!(sample(fixture, &NEW).await?, None);
    Ok(())
}

/// Each request is counted once, for the version that answered it and for no other.
pub async fn every_request_is_counted_for_its_version_alone(fixture: &impl MetricsFixture) -> Checked {
    counted(fixture, &OLD, Answering::Status(200), 3).await?;
    counted(fixture, &NEW, Answering::Status(200), 5).await?;
    let both = (sample(fixture, &OLD).await?, sample(fixture, &NEW).await?);
    let both = (both.0.map(|sample| sample.requests), both.1.map(|sample| sample.requests));
    assert_eq!(both, (Some(3), Some(5)));
    Ok(())
}

/// A status of 500 or above is a failure; one below is the user's own, or none.
pub async fn a_server_error_is_a_failure_and_a_client_error_is_none(
    fixture: &impl MetricsFixture,
) -> Checked {
    let mut failures = 0;
    for status in [200, 404, 500, 499, 503, 302] {
        failures += u64::from(status >= 500);
        let seen = counted(fixture, &OLD, Answering::Status(status), 1).await?;
        assert_eq!(seen.failures, failures, "after a {status}");
    }
    Ok(())
}

/// A request that its version does not answer is counted, as a failure.
pub async fn a_request_that_is_not_answered_is_a_failure(fixture: &impl MetricsFixture) -> Checked {
    counted(fixture, &OLD, Answering::Status(200), 1).await?;
    let seen = counted(fixture, &OLD, Answering::Nothing, 1).await?;
    assert_eq!((seen.requests, seen.failures), (2, 1));
    Ok(())
}

/// The bounds of the buckets ascend, there is one bucket more than bounds, and together they hold every request.
pub async fn the_buckets_ascend_and_add_up_to_the_requests(fixture: &impl MetricsFixture) -> Checked {
    for answering in
        [Answering::Status(200), Answering::Status(500), Answering::Nothing, Answering::After(SLOW)]
    {
        let seen = counted(fixture, &OLD, answering, 1).await?;
        assert!(!seen.bounds_ms.is_empty(), "there are no buckets");
        assert!(seen.bounds_ms.is_sorted_by(|one, next| one < next), "{:?}", seen.bounds_ms);
        assert_eq!(seen.latency.len(), seen.bounds_ms.len() + 1, "buckets and bounds");
        assert_eq!(seen.latency.iter().sum::<u64>(), seen.requests, "after {answering:?}: {seen:?}");
    }
    Ok(())
}

fn at_or_below(seen: &Sample, time: Duration) -> u64 {
    let buckets = seen.bounds_ms.iter().zip(&seen.latency);
    let within = buckets.filter(|(bound, _)| Duration::from_millis(**bound) < time);
    within.map(|(_, count)| *count).sum()
}

/// An answer that took some time is counted in no bucket whose bound is below that.
pub async fn a_slow_answer_is_counted_above_the_bounds_that_it_missed(
    fixture: &impl MetricsFixture,
) -> Checked {
    let before = counted(fixture, &OLD, Answering::Status(200), 2).await?;
    let after = counted(fixture, &OLD, Answering::After(SLOW), 2).await?;
    assert_eq!(before.bounds_ms, after.bounds_ms);
    let lowest = after.bounds_ms.first().copied().ok_or("there are no buckets")?;
    assert!(Duration::from_millis(lowest) < SLOW, "no bucket ends below {SLOW:?}: {:?}", after.bounds_ms);
    assert_eq!(at_or_below(&after, SLOW), at_or_below(&before, SLOW), "{after:?}");
    Ok(())
}

/// Counters grow and never fall as long as the epoch stays; where they begin again, the epoch is another one.
pub async fn no_counter_falls_within_an_epoch(fixture: &impl MetricsFixture) -> Checked {
    let first = counted(fixture, &OLD, Answering::Status(500), 2).await?;
    let second = counted(fixture, &OLD, Answering::Status(200), 2).await?;
    assert_eq!(first.epoch, second.epoch, "nothing began again");
    assert!(second.failures >= first.failures && second.at >= first.at);
    let buckets = first.latency.iter().zip(&second.latency);
    assert!(buckets.clone().all(|(before, after)| after >= before), "{first:?} {second:?}");
    let restarted = fixture.restart().await?;
    let third = counted(fixture, &OLD, Answering::Status(200), 1).await?;
    match restarted {
        Restart::BeganAgain => {
            assert_eq!(third.requests, 1, "the counters did not begin again");
            assert_ne!(third.epoch, second.epoch, "they began again in the same epoch");
        }
        Restart::Kept => assert_eq!((third.epoch, third.requests), (second.epoch, second.requests + 1)),
    }
    Ok(())
}

/// Sampling is no request: two samples in a row are the same but for their time.
pub async fn sampling_counts_nothing(fixture: &impl MetricsFixture) -> Checked {
    let mut first = counted(fixture, &OLD, Answering::Status(200), 3).await?;
    for _ in 0..3 {
        let next = sample(fixture, &OLD).await?.ok_or("there was a sample, and there is none")?;
        assert!(next.at >= first.at);
        first.at = next.at;
        assert_eq!(next, first);
    }
    Ok(())
}

/// A source that cannot be read gives an error: neither its last sample nor none.
pub async fn a_source_that_cannot_be_read_is_an_error(fixture: &impl MetricsFixture) -> Checked {
    counted(fixture, &OLD, Answering::Status(200), 1).await?;
    fixture.break_source().await?;
    for version in [OLD, NEW] {
        refusal(sample(fixture, &version).await, "an unreadable source")?;
    }
    Ok(())
}
