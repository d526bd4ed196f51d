use flow_core::{ErrorKind, StepError};
use serde::{Deserialize, Serialize};

use crate::os;

/// A proxy process, told apart from a later one with the same process id by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProcess {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
}

impl ProxyProcess {
    pub(super) fn current() -> Result<Self, StepError> {
        let pid = std::process::id();
        let process = os::process(pid)?
            .ok_or_else(|| StepError::new(ErrorKind::NotFound, "the proxy is not in the process table"))?;
        Ok(Self { pid, start: process.start })
    }

    /// Whether the process table no longer has it.
    pub(super) fn is_gone(&self) -> Result<bool, StepError> {
        Ok(os::process(self.pid)?.is_none_or(|process| process.start != self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_with_another_start_time_does_not() {
        let current = ProxyProcess::current().unwrap();
        assert!(!current.is_gone().unwrap());
        assert!(ProxyProcess { start: current.start + 1, ..current }.is_gone().unwrap());
    }
}
