use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Everything that the users of a load saw, in the order in which it ended.
#[derive(Debug, Clone, Default)]
pub struct Log(pub Vec<Record>);

/// What became of one request.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which it was, counted from 0.
    pub number: u64,
    /// When it was due.
    pub due: Instant,
    /// When it was begun: later than due where all users were busy.
    pub start: Instant,
    /// When the answer was whole, or its lack known.
    pub end: Instant,
    /// Whether it went over a connection that had carried another one.
    pub reused: bool,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Who answered: the application's header `x-version`.
    pub version: Option<String>,
    /// Which process answered: the application's header `x-pid`.
    pub pid: Option<u32>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Nobody took the connection.
    Refused,
    /// A fresh connection ended before a byte of the answer.
    Reset,
    /// A reused connection ended before a byte of the answer.
    EofStale,
    /// A connection ended inside the answer.
    EofMid,
    /// There was no whole answer within five seconds.
    Timeout,
    /// The answer has a status from 500 on.
    Http5xx,
    /// The answer is not understood, or its status is neither a success nor from 500 on.
    Bad,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::EofStale => "eof_stale",
            Self::EofMid => "eof_mid",
            Self::Timeout => "timeout",
            Self::Http5xx => "http_5xx",
            Self::Bad => "bad",
        })
    }
}

/// What one version was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How many requests it answered well.
    pub answered: usize,
    /// When its first good answer was whole.
    pub first_reply: Instant,
    /// When the last request was begun that it answered well.
    pub last_start: Instant,
}

/// A log in figures.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How many requests ended.
    pub requests: usize,
    /// How many failed, by kind.
    pub failed: BTreeMap<Failure, usize>,
    /// What each version was seen to do.
    pub versions: BTreeMap<String, Seen>,
    /// The median of the good answers' latencies, from when they were due.
    pub p50: Duration,
    /// 99 of a hundred good answers took no longer.
    pub p99: Duration,
    /// The longest latency of a good answer.
    pub max: Duration,
}

impl Log {
    /// How many requests ended.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.0.len()
    }

    /// The requests that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|record| record.failure.is_some())
    }

    /// How many requests a version answered well.
    #[must_use]
    pub fn answered_by(&self, version: &str) -> usize {
        self.good().filter(|record| record.version.as_deref() == Some(version)).count()
    }

    /// The requests that were due in a span of time, as a log of their own.
    #[must_use]
    pub fn between(&self, from: Instant, to: Instant) -> Self {
        Self(self.0.iter().filter(|record| (from..to).contains(&record.due)).cloned().collect())
    }

    /// The log in figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut failed = BTreeMap::new();
        for failure in self.0.iter().filter_map(|record| record.failure) {
            *failed.entry(failure).or_default() += 1;
        }
        let mut versions: BTreeMap<String, Seen> = BTreeMap::new();
        for record in self.good() {
            let Some(version) = &record.version else { continue };
            let own = Seen { answered: 0, first_reply: record.end, last_start: record.start };
            let seen = versions.entry(version.clone()).or_insert(own);
            seen.answered += 1;
            seen.first_reply = seen.first_reply.min(record.end);
            seen.last_start = seen.last_start.max(record.start);
        }
        let mut latencies: Vec<Duration> = self.good().map(|record| record.end - record.due).collect();
        latencies.sort_unstable();
        let [p50, p99, max] = [50, 99, 100].map(|percent| quantile(&latencies, percent));
        Summary { requests: self.0.len(), failed, versions, p50, p99, max }
    }

    fn good(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|record| record.failure.is_none())
    }
}

impl Summary {
    /// How many requests failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed of {} requests", self.failures(), self.requests)?;
        for (failure, count) in &self.failed {
            write!(f, ", {count} {failure}")?;
        }
        for (version, seen) in &self.versions {
            write!(f, "; {} by {version}", seen.answered)?;
        }
        let [p50, p99, max] = [self.p50, self.p99, self.max].map(|latency| latency.as_secs_f64() * 1e3);
        write!(f, "; p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")
    }
}

/// The smallest latency that `percent` of a hundred do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: Instant, latency: u64, version: &str, failure: Option<Failure>) -> Record {
        let end = at + Duration::from_millis(latency);
        let version = Some(version.to_owned());
        Record {
            number: 0,
            due: at,
            start: at,
            end,
            reused: false,
            status: None,
            version,
            pid: None,
            failure,
        }
    }

    #[test]
    fn a_summary_counts_by_kind_and_by_version_and_ranks_the_good_answers() {
        let begin = Instant::now();
        let at = |after| begin + Duration::from_millis(after);
        let mut log = Log((1..=100).map(|number| record(at(number), number, "1", None)).collect());
        log.0.push(record(at(7), 900, "1", Some(Failure::Http5xx)));
        log.0.push(record(at(0), 3, "2", None));
        log.0.remove(0);
        let summary = log.summary();
        assert_eq!((summary.requests, summary.failures()), (101, 1));
        assert_eq!(summary.failed, BTreeMap::from([(Failure::Http5xx, 1)]));
        let one = Seen { answered: 99, first_reply: at(4), last_start: at(100) };
        assert_eq!(summary.versions["1"], one);
        assert_eq!(summary.versions["2"].first_reply, at(3));
        assert_eq!([summary.p50, summary.p99, summary.max].map(|time| time.as_millis()), [50, 99, 100]);
        assert_eq!((log.answered_by("1"), log.between(at(7), at(8)).requests()), (99, 2));
    }

    #[test]
    fn an_empty_log_has_a_summary() {
        assert_eq!(Log::default().summary().max, Duration::ZERO);
    }
}
