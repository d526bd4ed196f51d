use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;

/// The longest time that an answer may be waited for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Where HAProxy's runtime socket is, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaproxyConfig {
    /// The socket of the configuration's `stats socket PATH level admin`: an absolute path.
    pub socket: PathBuf,
    /// How long each answer may take: more than nothing, at most a minute.
    pub timeout: Duration,
}

impl HaproxyConfig {
    /// The socket at `path`, with five seconds for each answer.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { socket: path.into(), timeout: Duration::from_secs(5) }
    }

    pub(crate) fn validate(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.socket.is_absolute(), "socket", "must be an absolute path");
        let in_bounds = !self.timeout.is_zero() && self.timeout <= TIMEOUT_MAX;
        problems.check(in_bounds, "timeout", "must be more than nothing and at most a minute");
        problems.into_result()
    }
}
