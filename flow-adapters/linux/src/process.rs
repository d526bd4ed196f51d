use std::str::FromStr;

/// One process for good: its id, and when it started. An id alone may by now be another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine's boot.
    pub start: u64,
}

/// A process as the process table shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which one it is.
    pub id: ProcessId,
    /// The id of its parent; 1 or another reaper where that has ended.
    pub parent: u32,
    /// The user that it acts as.
    pub uid: u32,
    /// Whether it runs.
    pub state: ProcessState,
    /// Its short name, at most 15 bytes, which it may have changed.
    pub name: String,
}

impl Process {
    /// Whether it runs: it has not ended, reaped or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state != ProcessState::Ended
    }
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs, or waits for something.
    Running,
    /// It was stopped by a signal or a debugger: it does nothing until it is continued.
    Stopped,
    /// It has ended and only waits to be reaped.
    Ended,
}

/// A signal that adapters send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`: read the configuration again.
    Hup,
    /// `SIGINT`: end.
    Int,
    /// `SIGQUIT`: end when the work under way is done.
    Quit,
    /// `SIGTERM`: end.
    Term,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGKILL`: ends it, without its doing.
    Kill,
}

impl Signal {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Kill => "KILL",
        }
    }
}

/// What `/proc/PID/stat` says, see proc_pid_stat(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) id: ProcessId,
    pub(crate) parent: u32,
    pub(crate) state: ProcessState,
    pub(crate) name: String,
}

/// The numbers that follow a process's state in `/proc/PID/stat`. A name is far too short to hold as many.
const NUMBERS: usize = 40;

/// Reads the first of several `/proc/PID/stat` one after another, and gives what follows it.
///
/// The name stands in brackets and may hold anything, brackets, digits and line ends too; so its end is the first bracket that
/// a whole row follows.
pub(crate) fn stat(text: &[u8]) -> Option<(Stat, &[u8])> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let pid = number(text.get(..open)?.strip_suffix(b" ")?)?;
    let after_open = text.get(open + 1..)?;
    let closing = after_open.iter().enumerate().filter(|(_, byte)| **byte == b')');
    closing.take(64).find_map(|(close, _)| {
        let row = after_open.get(close + 1..)?;
        let end = row.iter().position(|byte| *byte == b'\n')?;
        let mut fields = row.get(..end)?.strip_prefix(b" ")?.split(|byte| *byte == b' ');
        let state = state(fields.next()?)?;
        let numbers = fields.map(number::<i128>).collect::<Option<Vec<_>>>()?;
        if numbers.len() < NUMBERS {
            return None;
        }
        let parent = u32::try_from(*numbers.first()?).ok()?;
        let start = u64::try_from(*numbers.get(18)?).ok()?;
        let name = String::from_utf8_lossy(after_open.get(..close)?).into_owned();
        let stat = Stat { id: ProcessId { pid, start }, parent, state, name };
        Some((stat, row.get(end + 1..)?))
    })
}

/// Reads the ids and users of several `/proc/PID/status` one after another. Names are escaped there.
pub(crate) fn users(text: &[u8]) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut pid = None;
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(value) = line.strip_prefix(b"Pid:\t") {
            pid = number(value);
        } else if let Some(values) = line.strip_prefix(b"Uid:\t") {
            // Real, effective, saved, file system.
            let effective = values.split(|byte| *byte == b'\t').nth(1).and_then(number);
            found.extend(pid.take().zip(effective));
        }
    }
    found
}

/// Reads `/proc/PID/cmdline`: arguments, each with a zero byte behind it. A program that writes its own title
/// leaves one text and pads it with zero bytes, so empty arguments at the end cannot be told from padding.
pub(crate) fn arguments(text: &[u8]) -> Vec<String> {
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let Some(text) = text.get(..end).filter(|text| !text.is_empty()) else { return Vec::new() };
    text.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The value of `variable` in `/proc/PID/environ`.
pub(crate) fn variable(text: &[u8], variable: &str) -> Option<String> {
    text.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// What `grep -H -Z -z` found: the path of an environment and the value of the variable in it, in turn.
pub(crate) fn found_in(text: &[u8], variable: &str) -> Vec<(String, String)> {
    let mut parts = text.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut found = Vec::new();
    while let (Some(path), Some(entry)) = (parts.next(), parts.next()) {
        let value = entry.strip_prefix(variable).and_then(|rest| rest.strip_prefix('='));
        found.extend(value.map(|value| (path, value.to_owned())));
    }
    found
}

fn state(field: &[u8]) -> Option<ProcessState> {
    match field {
        b"Z" | b"X" | b"x" => Some(ProcessState::Ended),
        b"T" | b"t" => Some(ProcessState::Stopped),
        [letter] if letter.is_ascii_alphabetic() => Some(ProcessState::Running),
        _ => None,
    }
}

fn number<T: FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A row as the kernel writes it, of a process with this name.
    fn row(pid: u32, name: &[u8], state: &str, start: u64) -> Vec<u8> {
        let mut row = format!("{pid} (").into_bytes();
        row.extend_from_slice(name);
        let tail = format!(
            ") {state} 7 70 70 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 9 9 18446744073709551615"
        );
        row.extend_from_slice(tail.as_bytes());
        row.extend_from_slice(" 0".repeat(27).as_bytes());
        row.push(b'\n');
        row
    }

    #[test]
    fn a_row_says_who_it_is_and_whether_it_runs() {
        for (letter, state) in
            [("S", ProcessState::Running), ("Z", ProcessState::Ended), ("T", ProcessState::Stopped)]
        {
            let row = row(77, b"nginx", letter, 4242);
            let (found, rest) = stat(&row).unwrap();
            let id = ProcessId { pid: 77, start: 4242 };
            assert_eq!(found, Stat { id, parent: 7, state, name: "nginx".to_owned() });
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_row_that_was_cut_off_is_none() {
        let whole = row(77, b"nginx", "S", 4242);
        for length in 0..whole.len() {
            assert_eq!(stat(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_name_shifts_the_fields_of_its_own_row_or_of_the_next(name in prop::collection::vec(any::<u8>(), 0..16)) {
            let text = [row(5, &name, "S", 11), row(6, b"next", "R", 12)].concat();
            let (first, rest) = stat(&text).unwrap();
            prop_assert_eq!((first.id, first.parent), (ProcessId { pid: 5, start: 11 }, 7));
            let (second, rest) = stat(rest).unwrap();
            prop_assert_eq!(second.id, ProcessId { pid: 6, start: 12 });
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn names_that_look_like_rows_shift_nothing(name in "[) (S0-9\n]{0,15}") {
            let text = [row(5, name.as_bytes(), "S", 11), row(6, b"next", "R", 12)].concat();
            let (first, rest) = stat(&text).unwrap();
            prop_assert_eq!(first.id, ProcessId { pid: 5, start: 11 });
            prop_assert_eq!(stat(rest).unwrap().0.id, ProcessId { pid: 6, start: 12 });
        }

        #[test]
        fn no_bytes_are_too_much_for_a_parser(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (stat(&text), users(&text), arguments(&text), variable(&text, "A"));
        }
    }

    #[test]
    fn the_user_is_the_one_that_the_process_acts_as() {
        let status = "Name:\tsh\\n\nPid:\t5\nPPid:\t1\nUid:\t1000\t33\t1000\t1000\nName:\tx\nPid:\t6\nUid:\t0\t0\t0\t0\n";
        assert_eq!(users(status.as_bytes()), [(5, 33), (6, 0)]);
    }

    #[test]
    fn a_command_line_keeps_empty_arguments_and_loses_the_padding() {
        assert_eq!(arguments(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(arguments(b"nginx: master process nginx\0\0\0\0"), ["nginx: master process nginx"]);
        assert_eq!(arguments(b""), [""; 0]);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let text = b"AB=1\0A=2=3\0B=\0";
        assert_eq!(variable(text, "A").as_deref(), Some("2=3"));
        assert_eq!(variable(text, "B").as_deref(), Some(""));
        assert_eq!(variable(text, "C"), None);
    }
}
