use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Problems, StepError};
use crate::gate::{Judgement, OnSilence, Verdict};
use crate::port::Sample;

/// A simple gate: the failure ratio and the latency of the new version since a mark, against fixed limits.
///
/// It acts on disaster at once; telling a small regression from noise is the statistical judge's work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// The highest failure ratio that passes, from 0 to 1.
    pub max_failure_ratio: f64,
    /// The highest latency in milliseconds that 99 % of requests may have; not judged without one.
    pub max_p99_ms: Option<u64>,
    /// How many requests it takes to say anything.
    pub min_requests: u64,
    /// What happens while there are not enough.
    pub on_insufficient: OnSilence,
    /// What happens while the source cannot be read.
    pub on_provider_error: OnSilence,
}

impl Thresholds {
    /// Checks the limits.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let ratio = (0.0..=1.0).contains(&self.max_failure_ratio);
        problems.check(ratio, "max_failure_ratio", "must be from 0 to 1");
        problems.check(
            self.min_requests > 0,
            "min_requests",
            "must be at least 1: no evidence is never a pass",
        );
        problems.check(self.max_p99_ms != Some(0), "max_p99_ms", "must be above 0");
        problems.into_result()
    }

    /// Judges what was counted between `before` and `now`. A missing `before` means that nothing had been counted.
    #[must_use]
    pub fn judge(&self, before: Option<&Sample>, now: Result<Option<&Sample>, &StepError>) -> Judgement {
        let now = match now {
            Ok(Some(now)) => now,
            Ok(None) => return judgement(Verdict::Insufficient, "nothing has been counted yet", 0, 0),
            Err(error) => {
                return judgement(Verdict::ProviderError, &format!("the source failed: {error}"), 0, 0);
            }
        };
        let Some((requests, failures, latency)) = difference(before, now) else {
            return judgement(Verdict::ProviderError, "the counters began again since the mark", 0, 0);
        };
        if requests < self.min_requests {
            let reason = format!("{requests} of at least {} requests counted", self.min_requests);
            return judgement(Verdict::Insufficient, &reason, requests, failures);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let ratio = failures as f64 / requests as f64;
        let p99 = percentile_bound(&now.bounds_ms, &latency, requests);
        let slow = self.max_p99_ms.is_some_and(|most| p99.is_none_or(|p99| p99 > most));
        let verdict = if ratio > self.max_failure_ratio || slow { Verdict::Fail } else { Verdict::Pass };
        let shown = p99.map_or_else(|| "above the last bucket".to_owned(), |p99| format!("at most {p99} ms"));
        let reason = format!(
            "{failures} of {requests} requests failed (at most {} allowed), p99 {shown}",
            self.max_failure_ratio
        );
        judgement(verdict, &reason, requests, failures)
    }
}

fn judgement(verdict: Verdict, reason: &str, requests: u64, failures: u64) -> Judgement {
    let observed =
        [("requests".to_owned(), json!(requests)), ("failures".to_owned(), json!(failures))].into();
    Judgement { verdict, reason: reason.to_owned(), observed }
}

/// The counts since `before`; none where the counters began again or ran backwards.
fn difference(before: Option<&Sample>, now: &Sample) -> Option<(u64, u64, Vec<u64>)> {
    let Some(before) = before else { return Some((now.requests, now.failures, now.latency.clone())) };
    if before.epoch != now.epoch
        || before.bounds_ms != now.bounds_ms
        || before.latency.len() != now.latency.len()
    {
        return None;
    }
    let pairs = now.latency.iter().zip(&before.latency);
    let latency = pairs.map(|(now, before)| now.checked_sub(*before)).collect::<Option<Vec<_>>>()?;
    let requests = now.requests.checked_sub(before.requests)?;
    Some((requests, now.failures.checked_sub(before.failures)?, latency))
}

/// The bound of the bucket that holds the 99th percentile; none where it lies above the last bound.
fn percentile_bound(bounds: &[u64], latency: &[u64], requests: u64) -> Option<u64> {
    let rank = requests - requests / 100;
    let mut seen = 0;
    for (bound, count) in bounds.iter().zip(latency) {
        seen += count;
        if seen >= rank {
            return Some(*bound);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn sample(requests: u64, failures: u64) -> Sample {
        Sample {
            at: jiff::Timestamp::UNIX_EPOCH,
            epoch: 1,
            requests,
            failures,
            bounds_ms: vec![10, 100],
            latency: vec![requests, 0, 0],
        }
    }

    fn gate() -> Thresholds {
        Thresholds {
            max_failure_ratio: 0.01,
            max_p99_ms: Some(100),
            min_requests: 50,
            on_insufficient: OnSilence::Wait { times: 3 },
            on_provider_error: OnSilence::Abort,
        }
    }

    #[test]
    fn no_evidence_is_never_a_pass() {
        let gate = gate();
        assert_eq!(gate.judge(None, Ok(None)).verdict, Verdict::Insufficient);
        assert_eq!(gate.judge(None, Ok(Some(&sample(49, 0)))).verdict, Verdict::Insufficient);
        let error = StepError::new(ErrorKind::Unavailable, "no answer");
        assert_eq!(gate.judge(None, Err(&error)).verdict, Verdict::ProviderError);
        let mut reset = sample(10, 0);
        reset.epoch = 2;
        assert_eq!(gate.judge(Some(&sample(5, 0)), Ok(Some(&reset))).verdict, Verdict::ProviderError);
    }

    #[test]
    fn only_what_came_after_the_mark_counts() {
        let gate = gate();
        assert_eq!(gate.judge(Some(&sample(1000, 900)), Ok(Some(&sample(2000, 900)))).verdict, Verdict::Pass);
        assert_eq!(gate.judge(Some(&sample(1000, 0)), Ok(Some(&sample(1100, 2)))).verdict, Verdict::Fail);
    }

    #[test]
    fn a_slow_version_fails_and_so_does_one_beyond_the_last_bucket() {
        let gate = gate();
        let mut slow = sample(100, 0);
        slow.latency = vec![98, 0, 2];
        assert_eq!(gate.judge(None, Ok(Some(&slow))).verdict, Verdict::Fail);
        slow.latency = vec![98, 2, 0];
        assert_eq!(gate.judge(None, Ok(Some(&slow))).verdict, Verdict::Pass);
    }
}
