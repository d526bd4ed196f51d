//! What the machine looks like to somebody who knows nothing of the adapters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The state letter of a process; none when there is no such process.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    stat(pid).map(|fields| fields[0].chars().next().unwrap())
}

/// Whether a process runs: a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The group of a process.
pub(crate) fn group_of(pid: u32) -> u32 {
    stat(pid).unwrap()[2].parse().unwrap()
}

/// When a process started, in ticks since boot.
pub(crate) fn start_of(pid: u32) -> u64 {
    stat(pid).unwrap()[19].parse().unwrap()
}

/// The environment that a process was started with.
pub(crate) fn environment_of(pid: u32) -> BTreeMap<String, String> {
    lines_of(pid, "environ")
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The argument list of a process.
pub(crate) fn arguments_of(pid: u32) -> Vec<String> {
    lines_of(pid, "cmdline")
}

/// All running processes whose environment speaks of `root`.
pub(crate) fn processes_of(root: &Path) -> BTreeSet<u32> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mark = format!("FLOW_INSTANCE={}/", root.display());
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| runs(*pid) && lines_of(*pid, "environ").iter().any(|entry| entry.starts_with(&mark)))
        .collect()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every file, directory and link below a directory, with what it holds.
pub(crate) fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if kind.is_dir() {
                found.insert(name, "directory".to_owned());
                left.push(path);
            } else {
                found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    found
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn lines_of(pid: u32, file: &str) -> Vec<String> {
    let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut lines: Vec<String> =
        content.split(|byte| *byte == 0).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.pop();
    lines
}
