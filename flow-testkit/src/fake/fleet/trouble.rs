//! What was arranged to go wrong, and when it does.

use std::time::Duration;

use tokio::time::Instant;

use super::life::Life;

/// What happens to the instances of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They answer their health badly.
    Unhealthy,
    /// They end.
    Ends,
    /// They end as soon as they are started: the launch fails.
    EndsAtLaunch,
    /// Their program is not there: the launch finds nothing.
    ProgramMissing,
    /// They do not listen until this long after their launch.
    SlowStart(Duration),
    /// They take this long to end when asked; for ever without one.
    SlowEnd(Option<Duration>),
    /// While they get traffic this many requests are under way at each, and end this long after it left; never without one.
    Busy(u64, Option<Duration>),
}

/// One thing that was arranged.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// None for every service.
    service: Option<String>,
    version: String,
    pub(super) kind: Kind,
    arranged: Instant,
    pub(super) after: Duration,
    pub(super) lasting: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(service: Option<&str>, version: &str, kind: Kind) -> Self {
        Self {
            service: service.map(str::to_owned),
            version: version.to_owned(),
            kind,
            arranged: Instant::now(),
            after: Duration::ZERO,
            lasting: None,
        }
    }

    pub(super) fn is_about(&self, service: &str, version: &str) -> bool {
        self.version == version && self.service.as_deref().is_none_or(|own| own == service)
    }

    /// Whether it has begun to happen to `life`: counted from its arrangement, or from a launch after that.
    pub(super) fn has_begun(&self, life: &Life, at: Instant) -> bool {
        let from = self.arranged.max(life.launched);
        at >= from && at.saturating_duration_since(from) >= self.after
    }

    /// Whether it is happening to `life`.
    pub(super) fn is_on(&self, life: &Life, at: Instant) -> bool {
        let since = at.saturating_duration_since(self.arranged.max(life.launched));
        let over = self.lasting.is_some_and(|lasting| since.saturating_sub(self.after) >= lasting);
        self.has_begun(life, at) && !over
    }
}
