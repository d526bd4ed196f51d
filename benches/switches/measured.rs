use std::time::{Duration, Instant};

use flow_benches::{Error, Figure, Samples};
use flow_proving::load::Log;

/// How long after the call's begin a request counts as one during the switch.
const NEAR: Duration = Duration::from_millis(100);

/// One switch.
pub(crate) struct Turn {
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    pub(crate) to: &'static str,
}

/// What was seen of one way over all its switches.
#[derive(Default)]
pub(crate) struct Measured {
    log: Log,
    near: Log,
    /// How long the calls took.
    pub(crate) action: Samples,
    /// From the call's begin to the first answer of the new version.
    pub(crate) first_new: Samples,
    /// From the call's begin to the last answer of the old version to a request begun after it; zero without one.
    last_old: Samples,
}

impl Measured {
    /// Adds the switches of one log.
    pub(crate) fn add(&mut self, log: &Log, turns: &[Turn]) -> Result<(), Error> {
        let ends = turns.iter().skip(1).map(|next| Some(next.begun)).chain([None]);
        for (turn, until) in turns.iter().zip(ends) {
            let during = log.0.iter().filter(|record| {
                record.failure.is_none()
                    && record.end >= turn.begun
                    && until.is_none_or(|until| record.start < until)
            });
            let (new, old): (Vec<_>, Vec<_>) =
                during.partition(|record| record.version.as_deref() == Some(turn.to));
            let first = new.iter().map(|record| record.end).min().ok_or("no answer of the new version")?;
            let old = old.iter().filter(|record| record.start >= turn.begun).map(|record| record.end);
            let last = old.max().unwrap_or(turn.begun);
            self.action.extend([turn.took]);
            self.first_new.extend([first - turn.begun]);
            self.last_old.extend([last - turn.begun]);
            self.near.0.extend(log.between(turn.begun, turn.begun + NEAR).0);
        }
        self.log.0.extend(log.0.iter().cloned());
        Ok(())
    }

    pub(crate) fn requests(&self) -> usize {
        self.log.requests()
    }

    pub(crate) fn failed(&self) -> usize {
        self.log.failures().count()
    }

    pub(crate) fn figure(&self, what: &str) -> Figure {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let what = format!("a switch by {what}: {} failed of {} requests", self.failed(), self.requests());
        let shown = format!(
            "call {:.2} ms (slowest {:.2}), first new {:.2} ms, last old {:.2} ms (latest {:.2}), p99 {:.2} ms",
            ms(self.action.median()),
            ms(self.action.max()),
            ms(self.first_new.median()),
            ms(self.last_old.median()),
            ms(self.last_old.max()),
            ms(self.near.summary().p99),
        );
        Figure::of(what, shown)
    }
}
