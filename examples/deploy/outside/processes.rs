use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{OutsideError, both, changed};

/// Processes by their ids and start times, which together name one for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Processes(BTreeMap<(u32, u64), Command>);

/// What a process was started as.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Command {
    arguments: Vec<Vec<u8>>,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
        f.write_str(&words.join(" "))
    }
}

impl Processes {
    /// All that run and whose program or one of whose arguments lies below one of the `directories`.
    pub(super) fn below(directories: &[PathBuf]) -> Result<Self, OutsideError> {
        let table = Path::new("/proc");
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(table).map_err(OutsideError::file(table))? {
            let entry = entry.map_err(OutsideError::file(table))?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that cannot be read has ended meanwhile, or belongs to somebody else.
            if let Some((start, command)) = look(&entry.path(), directories) {
                found.insert((pid, start), command);
            }
        }
        Ok(Self(found))
    }

    /// What `other`, seen later, has otherwise.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let all = both(&self.0, &other.0);
        all.filter_map(|((pid, _), before, after)| changed("process", &pid.to_string(), before, after))
            .collect()
    }
}

fn look(process: &Path, directories: &[PathBuf]) -> Option<(u64, Command)> {
    let start = start_of_running(&fs::read_to_string(process.join("stat")).ok()?)?;
    let line = fs::read(process.join("cmdline")).ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    let arguments: Vec<_> = line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let is_below = |path: &Path| directories.iter().any(|directory| path.starts_with(directory));
    let program = fs::read_link(process.join("exe")).ok();
    let named = arguments.iter().any(|argument| {
        // `--name=/path` names a path as well.
        let value = argument.splitn(2, |byte| *byte == b'=').last().unwrap_or(argument);
        [argument.as_slice(), value].into_iter().any(|text| is_below(Path::new(OsStr::from_bytes(text))))
    });
    (named || program.as_deref().is_some_and(is_below)).then_some((start, Command { arguments }))
}

/// The start time in `/proc/PID/stat`, see proc_pid_stat(5); none for one that only waits to be reaped.
fn start_of_running(stat: &str) -> Option<u64> {
    // The program's name stands in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(start)
}
