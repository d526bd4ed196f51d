use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::connection::Reply;

/// How many failures are told one by one.
const TOLD: usize = 5;

/// One request; times count from the first moment.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) path: String,
    pub(super) start: Duration,
    pub(super) end: Duration,
    pub(super) reply: Reply,
}

/// How many requests there were, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) sent: u64,
    /// Those without a good answer.
    pub(crate) failed: u64,
}

/// What the users met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadReport {
    /// All requests.
    pub(crate) all: Tally,
    /// Those that ended with each status, and `none` for those without a whole answer.
    pub(crate) by_status: BTreeMap<String, u64>,
    /// Those that each version answered, and `none` where the proxy named no version.
    pub(crate) by_version: BTreeMap<String, Tally>,
    /// The longest time in which no request at all ended well.
    pub(crate) longest_gap: Duration,
    /// Half of the requests took no longer, failed ones too.
    pub(crate) p50: Duration,
    /// Ninety-nine of a hundred took no longer.
    pub(crate) p99: Duration,
    /// The first failures, in words.
    pub(crate) failures: Vec<String>,
    /// How many workers broke off. Their last request may be missing above, so any is one too many.
    pub(crate) broken_workers: u64,
}

impl LoadReport {
    /// Sums up `records`, which took as long as `took` altogether.
    pub(super) fn of(records: &[Record], took: Duration, broken_workers: u64) -> Self {
        let mut report = Self {
            all: Tally::default(),
            by_status: BTreeMap::new(),
            by_version: BTreeMap::new(),
            longest_gap: longest_gap(records, took),
            p50: percentile(records, 50),
            p99: percentile(records, 99),
            failures: Vec::new(),
            broken_workers,
        };
        for record in records {
            report.count(record);
        }
        report
    }

    /// Whether there were requests and every one of them got a good answer.
    pub(crate) fn is_flawless(&self) -> bool {
        self.all.sent > 0 && self.all.failed == 0 && self.broken_workers == 0
    }

    fn count(&mut self, record: &Record) {
        let failed = u64::from(!record.reply.is_good());
        let version = self.by_version.entry(record.reply.version().to_owned()).or_default();
        for tally in [&mut self.all, version] {
            tally.sent += 1;
            tally.failed += failed;
        }
        let (status, why) = match &record.reply {
            Reply::Answered { status, .. } => (status.as_str().to_owned(), status.to_string()),
            Reply::Unanswered(why) => ("none".to_owned(), why.clone()),
        };
        *self.by_status.entry(status).or_default() += 1;
        if failed > 0 && self.failures.len() < TOLD {
            let version = record.reply.version();
            self.failures.push(format!("{:.2?}: `{}` from {version}: {why}", record.start, record.path));
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} failed", self.all.sent, self.all.failed)?;
        for (version, tally) in &self.by_version {
            write!(f, "; {version}: {}, {} failed", tally.sent, tally.failed)?;
        }
        let statuses: Vec<_> =
            self.by_status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        write!(f, "; by status {}", statuses.join(", "))?;
        write!(f, "; p50 {:.1?}, p99 {:.1?}, longest gap {:.1?}", self.p50, self.p99, self.longest_gap)?;
        if self.broken_workers > 0 {
            write!(f, "; {} workers broke off", self.broken_workers)?;
        }
        Ok(())
    }
}

/// The longest time between two good answers, from the first moment to the last.
fn longest_gap(records: &[Record], took: Duration) -> Duration {
    let good = records.iter().filter(|record| record.reply.is_good()).map(|record| record.end);
    let mut moments: Vec<_> = good.chain([took]).collect();
    moments.sort_unstable();
    let mut last = Duration::ZERO;
    let gaps = moments.into_iter().map(|moment| moment.saturating_sub(std::mem::replace(&mut last, moment)));
    gaps.max().unwrap_or(took)
}

/// The nearest-rank percentile of the durations.
fn percentile(records: &[Record], percent: usize) -> Duration {
    let mut durations: Vec<_> =
        records.iter().map(|record| record.end.saturating_sub(record.start)).collect();
    durations.sort_unstable();
    let rank = (durations.len() * percent).div_ceil(100);
    durations.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::StatusCode;

    use super::*;

    fn record(start: u64, end: u64, status: u16, version: &str) -> Record {
        Record {
            path: "/health".to_owned(),
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            reply: Reply::Answered {
                status: StatusCode::from_u16(status).unwrap(),
                version: Some(Arc::from(version)),
            },
        }
    }

    #[test]
    fn a_failed_request_does_not_end_a_gap_and_the_edges_count() {
        let records = [
            record(0, 10, 200, "1"),
            record(20, 30, 200, "1"),
            record(30, 60, 500, "2"),
            record(60, 80, 200, "2"),
        ];
        let report = LoadReport::of(&records, Duration::from_millis(90), 0);
        assert_eq!(report.longest_gap, Duration::from_millis(50));
        assert_eq!(LoadReport::of(&records[..1], Duration::from_millis(90), 0).longest_gap.as_millis(), 80);
        assert_eq!(LoadReport::of(&records[3..], Duration::from_millis(90), 0).longest_gap.as_millis(), 80);
        assert_eq!(LoadReport::of(&[], Duration::from_millis(90), 0).longest_gap.as_millis(), 90);
    }

    #[test]
    fn every_request_is_in_the_sums_of_its_status_and_its_version() {
        let mut records = vec![record(0, 1, 200, "1"), record(0, 1, 204, "1"), record(5, 6, 301, "2")];
        records.push(Record { reply: Reply::Unanswered("gone".to_owned()), ..record(7, 8, 200, "") });
        let report = LoadReport::of(&records, Duration::from_millis(10), 0);
        assert_eq!(report.all, Tally { sent: 4, failed: 2 });
        let versions: Vec<_> =
            report.by_version.iter().map(|(name, tally)| (name.as_str(), *tally)).collect();
        let tally = |sent, failed| Tally { sent, failed };
        assert_eq!(versions, [("1", tally(2, 0)), ("2", tally(1, 1)), ("none", tally(1, 1))]);
        assert_eq!(report.by_status.keys().collect::<Vec<_>>(), ["200", "204", "301", "none"]);
        assert_eq!(
            report.failures,
            ["5.00ms: `/health` from 2: 301 Moved Permanently", "7.00ms: `/health` from none: gone"]
        );
    }

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let records: Vec<_> = (1..=200).map(|took| record(1000, 1000 + took, 200, "1")).collect();
        let report = LoadReport::of(&records, Duration::from_secs(2), 0);
        assert_eq!((report.p50.as_millis(), report.p99.as_millis()), (100, 198));
        assert_eq!(LoadReport::of(&records[..1], Duration::from_secs(2), 0).p99.as_millis(), 1);
    }

    #[test]
    fn nothing_sent_and_a_broken_worker_are_no_success() {
        let took = Duration::from_secs(1);
        assert!(!LoadReport::of(&[], took, 0).is_flawless());
        assert!(LoadReport::of(&[record(0, 1, 200, "1")], took, 0).is_flawless());
        assert!(!LoadReport::of(&[record(0, 1, 200, "1")], took, 1).is_flawless());
        assert!(!LoadReport::of(&[record(0, 1, 500, "1")], took, 0).is_flawless());
    }
}
