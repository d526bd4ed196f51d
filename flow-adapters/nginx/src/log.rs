//! The lines of our log format, and what they say of each version.

use std::collections::BTreeMap;

use flow_core::Name;

use crate::history::History;

/// The upper bounds of the latency buckets.
pub(crate) const BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// What the log says of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    /// Failures that another version's answer hid from the user; they are among the failures.
    pub(crate) masked: u64,
    pub(crate) latency: [u64; BOUNDS_MS.len() + 1],
}

/// What the log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tallies {
    pub(crate) versions: BTreeMap<Name, Tally>,
    /// Requests whose version is not sure, and lines that are not understood.
    pub(crate) unattributed: u64,
}

/// How a line names its version.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Naming<'a> {
    /// By the name of its upstream, behind this prefix.
    Upstream(&'a str),
    /// By the place below this directory that it went to, and by when.
    Place(&'a str, &'a History),
}

impl Tallies {
    /// Counts one line.
    pub(crate) fn count(&mut self, line: &str, naming: Naming<'_>) {
        let Some(line) = Line::parse(line) else {
            self.unattributed += 1;
            return;
        };
        let Some(last) = line.attempts.len().checked_sub(1) else { return };
        let versions: Vec<_> = (0..=last).map(|at| line.version(at, naming)).collect();
        let mut at = 0;
        while at <= last {
            // Attempts at several places of one version are one request to it.
            let same = versions
                .iter()
                .skip(at)
                .take_while(|version| **version == versions.get(at).cloned().flatten());
            let next = at + same.count().max(1);
            let taken: u64 = line.attempts.iter().take(next).skip(at).map(|attempt| attempt.taken_ms).sum();
            let is_last = next > last;
            let failed = !is_last || line.failed();
            match versions.get(at).cloned().flatten() {
                None => self.unattributed += 1,
                Some(version) => self.versions.entry(version).or_default().add(taken, failed, !is_last),
            }
            at = next;
        }
    }
}

impl Tally {
    fn add(&mut self, taken_ms: u64, failed: bool, masked: bool) {
        self.requests += 1;
        self.failures += u64::from(failed);
        self.masked += u64::from(masked);
        let bucket = BOUNDS_MS.iter().position(|bound| taken_ms <= *bound).unwrap_or(BOUNDS_MS.len());
        if let Some(count) = self.latency.get_mut(bucket) {
            *count += 1;
        }
    }
}

struct Line<'a> {
    /// When it was written, in milliseconds since 1970: when the request ended.
    at_ms: i64,
    taken_ms: u64,
    status: u16,
    attempts: Vec<Attempt<'a>>,
    upstream: &'a str,
}

struct Attempt<'a> {
    address: &'a str,
    status: Option<u16>,
    taken_ms: u64,
}

impl<'a> Line<'a> {
    /// `$msec|$request_time|$status|$upstream_addr|$upstream_status|$upstream_response_time|upstream`, see
    /// <https://nginx.org/en/docs/http/ngx_http_upstream_module.html#variables>.
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split('|').collect();
        let [at, taken, status, addresses, statuses, times, upstream] = fields.as_slice() else {
            return None;
        };
        let attempts = if *addresses == "-" {
            Vec::new()
        } else {
            let (addresses, statuses, times) = (list(addresses), list(statuses), list(times));
            if addresses.len() != statuses.len() || addresses.len() != times.len() {
                return None;
            }
            let each = addresses.into_iter().zip(statuses).zip(times);
            each.map(|((address, status), time)| Attempt {
                address,
                status: status.parse().ok(),
                taken_ms: milliseconds(time).unwrap_or(0),
            })
            .collect()
        };
        Some(Self {
            at_ms: i64::try_from(milliseconds(at)?).ok()?,
            taken_ms: milliseconds(taken)?,
            status: status.parse().ok()?,
            attempts,
            upstream,
        })
    }

    /// Whether the user got no answer below 500. Who gave up before there was one got none.
    fn failed(&self) -> bool {
        let answered = self.attempts.last().and_then(|attempt| attempt.status);
        self.status >= 500 || answered.is_none_or(|status| status >= 500)
    }

    fn version(&self, at: usize, naming: Naming<'_>) -> Option<Name> {
        match naming {
            Naming::Upstream(prefix) => Name::new(self.upstream.strip_prefix(prefix)?).ok(),
            Naming::Place(directory, history) => {
                let rest = self.attempts.get(at)?.address.strip_prefix("unix:")?.strip_prefix(directory)?;
                let place = rest.strip_prefix("/live/")?.strip_suffix(".sock")?.parse().ok()?;
                // It was connected to after the request began, and before all that this and later attempts took.
                let later: u64 = self.attempts.iter().skip(at).map(|attempt| attempt.taken_ms).sum();
                let from = self.at_ms.checked_sub_unsigned(self.taken_ms)?;
                let to = self.at_ms.checked_sub_unsigned(later)?.max(from);
                history.owner(place, from, to).cloned()
            }
        }
    }
}

/// Servers that were tried are divided by commas, and groups of them, after an internal redirect, by colons.
fn list(field: &str) -> Vec<&str> {
    field.split(", ").flat_map(|group| group.split(" : ")).collect()
}

/// Seconds with three decimals.
fn milliseconds(field: &str) -> Option<u64> {
    let (seconds, thousandths) = field.split_once('.')?;
    let whole: u64 = seconds.parse().ok()?;
    let rest: u64 = (thousandths.len() == 3).then(|| thousandths.parse().ok())??;
    whole.checked_mul(1000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use flow_core::name;
    use proptest::prelude::*;

    use super::*;

    fn counted(lines: &[&str]) -> Tallies {
        let mut history = History::default();
        // Rank 0 is place 0, rank 1 is place 61.
        history.begin(1_000, 100, vec![(name!("2"), 2), (name!("1"), 98)]);
        history.settle(1_001);
        let mut tallies = Tallies::default();
        for line in lines {
            tallies.count(line, Naming::Place("/l", &history));
        }
        tallies
    }

    fn of(tallies: &Tallies, version: &str) -> (u64, u64, u64) {
        let tally = tallies.versions.get(&Name::new(version).unwrap()).cloned().unwrap_or_default();
        assert_eq!(tally.latency.iter().sum::<u64>(), tally.requests);
        (tally.requests, tally.failures, tally.masked)
    }

    #[test]
    fn each_request_is_counted_for_the_version_of_its_place() {
        let found = counted(&[
            "5.000|0.010|200|unix:/l/live/00.sock|200|0.010|-",
            "5.000|0.010|500|unix:/l/live/01.sock|500|0.010|-",
            "5.000|0.010|404|unix:/l/live/61.sock|404|0.010|-",
        ]);
        assert_eq!((of(&found, "2"), of(&found, "1"), found.unattributed), ((2, 0, 0), (1, 1, 0), 0));
    }

    #[test]
    fn a_failure_that_another_version_hid_is_counted_for_the_one_that_failed() {
        let found =
            counted(&["5.000|0.010|200|unix:/l/live/00.sock, unix:/l/live/01.sock|502, 200|0.001, 0.009|-"]);
        assert_eq!((of(&found, "2"), of(&found, "1")), ((1, 1, 1), (1, 0, 0)));
        let both = "5.000|0.010|502|unix:/l/live/00.sock, unix:/l/live/61.sock, unix:/l/live/02.sock|502, 502, 502|0.001, 0.000, 0.000|-";
        let found = counted(&[both]);
        assert_eq!((of(&found, "2"), of(&found, "1")), ((1, 1, 1), (1, 1, 0)));
    }

    #[test]
    fn attempts_at_places_of_one_version_are_one_request() {
        let found =
            counted(&["5.000|0.010|200|unix:/l/live/00.sock, unix:/l/live/61.sock|502, 200|0.001, 0.009|-"]);
        assert_eq!(of(&found, "2"), (1, 0, 0));
    }

    #[test]
    fn a_request_without_an_answer_is_a_failure_and_one_without_a_version_is_none() {
        let found = counted(&[
            "5.000|2.000|499|unix:/l/live/00.sock|-|2.000|-",
            "5.000|0.000|400|-|-|-|-",
            "5.000|0.000|200|unix:/elsewhere/live/00.sock|200|0.000|-",
            "0.900|0.000|200|unix:/l/live/00.sock|200|0.000|-",
            "nonsense",
        ]);
        assert_eq!((of(&found, "2"), of(&found, "1"), found.unattributed), ((1, 1, 0), (0, 0, 0), 3));
    }

    #[test]
    fn an_upstream_names_its_version() {
        let mut tallies = Tallies::default();
        for line in [
            "5.000|0.300|200|127.0.0.1:1, 127.0.0.1:2|502, 200|0.000, 0.300|flow~web~1.1.0",
            "5.000|0.000|502|flow~web~-none|502|0.000|flow~web~-none",
        ] {
            tallies.count(line, Naming::Upstream("flow~web~"));
        }
        assert_eq!((of(&tallies, "1.1.0"), tallies.unattributed), ((1, 0, 0), 1));
        assert_eq!(tallies.versions[&name!("1.1.0")].latency[8], 1, "up to 500 ms");
    }

    proptest! {
        #[test]
        fn no_line_is_too_much(line in "[-0-9|., :a-z/]{0,80}") {
            counted(&[&line]);
        }
    }
}
