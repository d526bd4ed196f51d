//! Processes and sockets as the kernel shows them in `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process. Two looks at one process are equal; a later process under the same id differs by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in ticks since boot.
    pub start: u64,
}

/// What a process was seen to be.
#[derive(Debug, Clone)]
struct Seen {
    process: Process,
    parent: u32,
    group: u32,
}

impl Process {
    /// The process that runs under an id; a zombie does not run.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        running(pid).map(|seen| seen.process)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Its argument list, or the title that it gave itself.
    #[must_use]
    pub fn command(self) -> Vec<String> {
        strings(self.pid, "cmdline")
    }

    /// The environment that it was started with, each `NAME=value`. Some servers overwrite it with their title.
    #[must_use]
    pub fn environment(self) -> Vec<String> {
        strings(self.pid, "environ")
    }

    /// The directory that it works in.
    #[must_use]
    pub fn directory(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Sends a signal to this process and to no later one under its id. One that has ended is left alone.
    pub fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        // The descriptor is taken before the look: it stays with the process that the look then proves to be ours.
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if self.runs() {
            let _ = pidfd_send_signal(descriptor, signal);
        }
    }
}

/// The running children of a process.
#[must_use]
pub fn children(pid: u32) -> BTreeSet<Process> {
    all().filter(|seen| seen.parent == pid).map(|seen| seen.process).collect()
}

/// The running children of a process, theirs, and so on.
#[must_use]
pub fn descendants(pid: u32) -> BTreeSet<Process> {
    let table: Vec<Seen> = all().collect();
    let mut found = BTreeSet::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        for child in table.iter().filter(|seen| seen.parent == parent) {
            if found.insert(child.process) {
                open.push(child.process.pid);
            }
        }
    }
    found
}

/// The running processes of a process group.
#[must_use]
pub fn group(leader: u32) -> BTreeSet<Process> {
    all().filter(|seen| seen.group == leader).map(|seen| seen.process).collect()
}

/// The running processes, this one aside, whose environment speaks of a path: what was started for it, whoever the parent is
/// now.
#[must_use]
pub fn environment_names(path: &Path) -> BTreeSet<Process> {
    let path = path.display().to_string();
    let others = all().map(|seen| seen.process).filter(|process| process.pid != std::process::id());
    others.filter(|process| process.environment().iter().any(|entry| entry.contains(&path))).collect()
}

/// The running processes, this one aside, whose command line speaks of a path.
#[must_use]
pub fn command_names(path: &Path) -> BTreeSet<Process> {
    let path = path.display().to_string();
    let others = all().map(|seen| seen.process).filter(|process| process.pid != std::process::id());
    others.filter(|process| process.command().iter().any(|word| word.contains(&path))).collect()
}

/// How many connections to the Unix socket at `path` are open or waiting to be accepted, seen from the side that listens.
///
/// # Errors
/// Where the kernel does not say.
pub fn connections(path: &Path) -> std::io::Result<usize> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let open = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(5);
        let state = fields.next();
        // 02 is connecting, 03 connected; 01 is the listener itself.
        matches!(state, Some("02" | "03")) && fields.nth(1).is_some_and(|own| Path::new(own) == path)
    };
    Ok(table.lines().filter(open).count())
}

fn all() -> impl Iterator<Item = Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(running)
}

fn running(pid: u32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |index: usize| fields.get(index).copied();
    if matches!(field(0)?, "Z" | "X") {
        return None;
    }
    let process = Process { pid, start: field(19)?.parse().ok()? };
    Some(Seen { process, parent: field(1)?.parse().ok()?, group: field(2)?.parse().ok()? })
}

fn strings(pid: u32, file: &str) -> Vec<String> {
    let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let entries = content.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}
