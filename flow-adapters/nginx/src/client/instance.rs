//! One nginx as the process table shows it, and what it says when it refuses a configuration.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, StepError};
use flow_linux::{Machine, ProcessId};

use crate::client::files::{off_thread, refused};

const MASTER: &str = "nginx: master process ";
const WORKER: &str = "nginx: worker process";

/// How much of what an error log got is looked at.
const WORDS_MAX: u64 = 1024 * 1024;

/// Whether an nginx runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Running(ProcessId),
    /// There is no master. These are workers without one, of this nginx or of another.
    Missing {
        orphans: Vec<u32>,
    },
}

/// Finds the master that was started with `conf`. Its own title says so; a pid file is never asked, for it may be empty, missing or name
/// another process.
pub(crate) async fn find(machine: &Machine, conf: &Path, built_in: &Path) -> Result<Found, StepError> {
    let all = machine.processes().await?;
    let (mut masters, mut all_masters, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    for process in all.iter().filter(|process| process.name == "nginx" && process.is_running()) {
        let title = machine.command_line(process.id).await?.unwrap_or_default().join(" ");
        if let Some(command) = title.strip_prefix(MASTER) {
            all_masters.push(process.id.pid);
            if started_with(command, built_in) == conf {
                masters.push(process.id);
            }
        } else if title.starts_with(WORKER) {
            workers.push(process);
        }
    }
    let orphans = workers.iter().filter(|worker| !all_masters.contains(&worker.parent));
    match masters.as_slice() {
        [] => Ok(Found::Missing { orphans: orphans.map(|worker| worker.id.pid).collect() }),
        [one] => Ok(Found::Running(*one)),
        many => {
            let pids: Vec<String> = many.iter().map(|one| one.pid.to_string()).collect();
            let error =
                StepError::new(ErrorKind::Conflict, "more than one nginx runs with this configuration");
            Err(error.fact("conf", conf.display()).fact("pids", pids.join(" ")))
        }
    }
}

/// The workers of a master that take new connections: those that are being shut down say so in their title.
pub(crate) async fn serving(machine: &Machine, master: ProcessId) -> Result<Vec<ProcessId>, StepError> {
    let mut serving = Vec::new();
    for child in machine.children(master.pid).await? {
        let title = machine.command_line(child.id).await?.unwrap_or_default().join(" ");
        if child.is_running() && title.trim_end() == WORKER {
            serving.push(child.id);
        }
    }
    Ok(serving)
}

/// The configuration that a master's command names, as nginx itself finds it.
fn started_with(command: &str, built_in: &Path) -> PathBuf {
    let words: Vec<&str> = command.split(' ').collect();
    let option = |name: &str| {
        words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(name)? {
            "" => words.get(at + 1).copied(),
            glued => Some(glued),
        })
    };
    let Some(conf) = option("-c") else { return built_in.to_owned() };
    // A path that begins at the root replaces the prefix.
    option("-p").map_or_else(PathBuf::new, PathBuf::from).join(conf)
}

/// What nginx was built to read where it is told nothing, from what `nginx -V` prints.
pub(crate) fn built_in_conf(printed: &str) -> Option<PathBuf> {
    printed.split_ascii_whitespace().find_map(|word| word.strip_prefix("--conf-path=")).map(PathBuf::from)
}

/// What an error log gets from now on.
#[derive(Debug, Clone)]
pub(crate) struct ErrorLog {
    path: Option<PathBuf>,
    from: u64,
}

impl ErrorLog {
    pub(crate) fn from_now(path: Option<&Path>) -> Self {
        let length = path.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |found| found.len());
        Self { path: path.map(Path::to_owned), from: length }
    }

    /// Why `master` gave up a configuration; none as long as it has not.
    pub(crate) async fn refusal(&self, master: ProcessId) -> Result<Option<String>, StepError> {
        let Some(path) = self.path.clone() else { return Ok(None) };
        let from = self.from;
        let words = off_thread(move || {
            let unreadable = |error| refused("the error log cannot be read", &path, error);
            let mut words = Vec::new();
            let mut file = File::open(&path).map_err(unreadable)?;
            file.seek(SeekFrom::Start(from)).map_err(unreadable)?;
            file.take(WORDS_MAX).read_to_end(&mut words).map_err(unreadable)?;
            Ok(words)
        })
        .await?;
        Ok(refusal(&String::from_utf8_lossy(&words), master.pid))
    }
}

/// A port that is taken is tried five times, half a second apart; only what comes after is its last word.
fn refusal(words: &str, master: u32) -> Option<String> {
    let own = format!("[emerg] {master}#");
    let emergencies: Vec<&str> = words.lines().filter(|line| line.contains(&own)).collect();
    let is_last = |line: &&&str| !line.contains(" bind() to ");
    emergencies.iter().find(is_last)?;
    let first = emergencies.first()?.split(&own).nth(1)?;
    let said = first.split_once(": ").map_or(first, |(_, said)| said);
    Some(said.chars().filter(|each| !each.is_control()).take(500).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_title_names_its_configuration() {
        let built_in = Path::new("/etc/nginx/nginx.conf");
        for (command, conf) in [
            ("/usr/sbin/nginx -g daemon on; master_process on;", "/etc/nginx/nginx.conf"),
            ("nginx -c /srv/a.conf -e /srv/e.log", "/srv/a.conf"),
            ("nginx -p /srv -c a.conf", "/srv/a.conf"),
            ("nginx -c/srv/a.conf", "/srv/a.conf"),
            ("nginx -p /opt/ -c /srv/a.conf", "/srv/a.conf"),
        ] {
            assert_eq!(started_with(command, built_in), Path::new(conf), "{command}");
        }
        assert_eq!(built_in_conf("a --prefix=/x --conf-path=/etc/n.conf --b"), Some("/etc/n.conf".into()));
    }

    #[test]
    fn a_port_that_is_tried_again_is_no_last_word() {
        let tried =
            "2026/01/01 00:00:00 [emerg] 7#7: bind() to 127.0.0.1:80 failed (98: Address already in use)\n";
        assert_eq!(refusal(tried, 7), None);
        let given_up = format!("{tried}{tried}2026/01/01 00:00:02 [emerg] 7#7: still could not bind()\n");
        assert_eq!(
            refusal(&given_up, 7).unwrap(),
            "bind() to 127.0.0.1:80 failed (98: Address already in use)"
        );
        assert_eq!(refusal(&given_up, 77), None, "another nginx of the same log");
        let syntax = "2026/01/01 00:00:00 [emerg] 7#7: unknown directive \"x\" in /etc/n.conf:3\n";
        assert_eq!(refusal(syntax, 7).unwrap(), "unknown directive \"x\" in /etc/n.conf:3");
    }
}
