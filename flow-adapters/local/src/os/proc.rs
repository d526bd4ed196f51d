//! The process table, read from `/proc`.

use std::fs;
use std::io;
use std::path::Path;

use flow_core::{ErrorKind, StepError};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::file::refused;

/// A process that runs. One that has ended and only waits to be reaped is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// The id of its group.
    pub(crate) group: u32,
    /// When it started, in clock ticks since boot: with the id it names one process for good.
    pub(crate) start: u64,
}

/// The process with this id, if it runs.
pub(crate) fn process(pid: u32) -> Result<Option<Process>, StepError> {
    let path = format!("/proc/{pid}/stat");
    match fs::read(&path) {
        Ok(stat) => Ok(parse(pid, &String::from_utf8_lossy(&stat))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(refused("the process cannot be observed", Path::new(&path), error)),
    }
}

/// All processes that run.
pub(crate) fn processes() -> Result<Vec<Process>, StepError> {
    let unreadable = |error| refused("the process table cannot be read", Path::new("/proc"), error);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            found.extend(process(pid)?);
        }
    }
    Ok(found)
}

/// Whether `pid` was started with exactly `variable=value`; none where its environment cannot be read or has no such
/// variable.
pub(crate) fn marked(pid: u32, variable: &str, value: &str) -> Option<bool> {
    // Another user's process, a kernel thread or one that has just ended: none of them is ours.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let found = entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=")?;
        Some(found == value.as_bytes())
    })
}

/// What tells one boot of the machine from another: process ids and start times mean nothing beyond it.
pub(crate) fn boot_id() -> Result<String, StepError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let id = fs::read_to_string(path).map_err(|error| refused("the boot id cannot be read", path, error))?;
    Ok(id.trim().to_owned())
}

/// Sends a signal to one process; one that is gone is done.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<(), StepError> {
    sent(pid, valid(pid).and_then(|valid| kill_process(valid, signal)))
}

/// Sends a signal to all processes of a group; one that is gone is done.
pub(crate) fn signal_group(group: u32, signal: Signal) -> Result<(), StepError> {
    sent(group, valid(group).and_then(|valid| kill_process_group(valid, signal)))
}

/// Refuses 0, 1 and what is no id: the kernel takes some of them for "every process".
fn valid(pid: u32) -> Result<Pid, Errno> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).ok_or(Errno::INVAL)
}

fn sent(pid: u32, result: Result<(), Errno>) -> Result<(), StepError> {
    match result {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => {
            let kind = if error == Errno::PERM { ErrorKind::Denied } else { ErrorKind::Unknown };
            Err(StepError::new(kind, "the process cannot be signalled").fact("pid", pid).because(error))
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Reads `/proc/PID/stat`, see proc_pid_stat(5). The program's name stands in brackets and may hold anything.
fn parse(pid: u32, stat: &str) -> Option<Process> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(Process { pid, group, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a) b (c) S 1 70 70 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        assert_eq!(parse(77, STAT), Some(Process { pid: 77, group: 70, start: 4242 }));
    }

    #[test]
    fn a_process_that_only_waits_to_be_reaped_does_not_run() {
        assert_eq!(parse(77, &STAT.replace(" S ", " Z ")), None);
    }

    #[test]
    fn an_id_that_means_every_process_is_never_signalled() {
        for id in [0, 1, u32::MAX] {
            assert_eq!(valid(id), Err(Errno::INVAL), "{id}");
        }
    }
}
