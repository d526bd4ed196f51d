use serde::{Deserialize, Serialize};

/// A proxy process, told apart from a later one with the same process id by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProcess {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did; none where the system does not tell.
    pub started: Option<u64>,
}

impl ProxyProcess {
    pub(super) fn current() -> Self {
        let pid = std::process::id();
        Self { pid, started: stat(pid).map(|stat| stat.started) }
    }

    /// Whether the process table no longer has it, but for the remains that its parent has not collected. Without a
    /// start time nobody can tell by the table, and the proxy's lock alone decides.
    pub(super) fn is_gone(&self) -> bool {
        let Some(started) = self.started else { return true };
        stat(self.pid).is_none_or(|stat| stat.started != started || stat.state == 'Z')
    }
}

struct Stat {
    state: char,
    started: u64,
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)). The second field is in brackets and may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The 22nd field; the 3rd was the state.
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_with_another_start_time_does_not() {
        let current = ProxyProcess::current();
        let started = current.started.unwrap();
        assert!(!current.is_gone());
        assert!(ProxyProcess { started: Some(started + 1), ..current }.is_gone());
    }
}
