use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::both;
use crate::load::{Connection, Reply};

/// Which versions answered how many of the requests that were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traffic(BTreeMap<String, u32>);

impl Traffic {
    /// Sends `samples` requests, one after the other.
    pub(super) async fn sample(proxy: SocketAddr, samples: u32) -> Self {
        let mut connection = Connection::to(proxy);
        let mut counts = BTreeMap::new();
        for _ in 0..samples {
            let answered = match connection.get("/version").await {
                Reply::Unanswered(_) => "unanswered".to_owned(),
                reply if reply.is_good() => reply.version().to_owned(),
                Reply::Answered { status, version } => {
                    format!("{} from {}", status.as_str(), version.as_deref().unwrap_or("none"))
                }
            };
            *counts.entry(answered).or_default() += 1;
        }
        Self(counts)
    }

    /// Whether both have the same weights, as far as samples can tell: the same versions answered, and no share differs by
    /// more than four standard errors.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let sizes = [self, other].map(|traffic| f64::from(traffic.0.values().sum::<u32>()));
        let [before_all, after_all] = sizes;
        both(&self.0, &other.0).all(|(_, before, after)| {
            let (Some(before), Some(after)) = (before, after) else { return false };
            let (before, after) = (f64::from(*before), f64::from(*after));
            let pooled = (before + after) / (before_all + after_all);
            let error = (pooled * (1.0 - pooled) * (1.0 / before_all + 1.0 / after_all)).sqrt();
            (before / before_all - after / after_all).abs() <= 4.0 * error
        })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(version, count)| format!("{version} {count}x")).collect();
        f.write_str(&counts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(counts: &[(&str, u32)]) -> Traffic {
        Traffic(counts.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect())
    }

    #[test]
    fn chance_is_no_difference_and_another_weight_is() {
        let halves = traffic(&[("1", 100), ("2", 100)]);
        assert!(halves.agrees_with(&traffic(&[("1", 110), ("2", 90)])));
        assert!(!halves.agrees_with(&traffic(&[("1", 150), ("2", 50)])));
        assert!(traffic(&[("1", 200)]).agrees_with(&traffic(&[("1", 50)])));
    }

    #[test]
    fn a_version_that_answers_once_where_it_never_did_is_a_difference() {
        let (all, all_but_one) = (traffic(&[("1", 200)]), traffic(&[("1", 199), ("2", 1)]));
        assert!(!all.agrees_with(&all_but_one));
        assert!(!all_but_one.agrees_with(&all));
    }
}
