//! This machine, read directly.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use flow_core::{ErrorKind, StepError};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal as Native, pidfd_open, pidfd_send_signal};

use crate::machine::Signalled;
use crate::process::{self, Process, ProcessId, Signal, Stat};

/// The largest file of one process that is read, and the largest table.
const FILE_MAX: u64 = 4 * 1024 * 1024;
const TABLE_MAX: u64 = 64 * 1024 * 1024;

/// Runs work where it may block.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StepError::in_doubt("the work ended early").because(error)),
    }
}

pub(crate) fn file(path: &Path) -> Result<Vec<u8>, StepError> {
    let unreadable = |error| refused(path, error);
    let mut content = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(TABLE_MAX + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > TABLE_MAX {
        let error = StepError::new(ErrorKind::Failed, "the table is too large");
        return Err(error.fact("path", path.display()).fact("largest", TABLE_MAX));
    }
    Ok(content)
}

pub(crate) fn processes() -> Result<Vec<Process>, StepError> {
    let mut found = Vec::new();
    for pid in ids()? {
        found.extend(process(pid)?);
    }
    Ok(found)
}

pub(crate) fn started_with(variable: &str) -> Result<Vec<(Process, String)>, StepError> {
    let mut found = Vec::new();
    for pid in ids()? {
        // One that has ended since or is another user's shows nothing.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        let Some(value) = process::variable(&environment, variable) else { continue };
        found.extend(process(pid)?.map(|process| (process, value)));
    }
    Ok(found)
}

/// The ids of all processes, ordered.
fn ids() -> Result<Vec<u32>, StepError> {
    let table = Path::new("/proc");
    let unreadable = |error| refused(table, error);
    let mut ids: Vec<u32> = Vec::new();
    for entry in std::fs::read_dir(table).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

pub(crate) fn process(pid: u32) -> Result<Option<Process>, StepError> {
    let Some(opened) = Opened::new(pid)? else { return Ok(None) };
    let (Some(stat), Some(status)) = (opened.stat()?, opened.read("status")?) else { return Ok(None) };
    let uid = process::users(&status).first().map(|(_, uid)| *uid);
    let uid = uid.ok_or_else(|| StepError::in_doubt("the process shows no user").fact("pid", pid))?;
    let Stat { id, parent, state, name } = stat;
    Ok(Some(Process { id, parent, uid, state, name }))
}

pub(crate) fn of_process(id: ProcessId, file: &str) -> Result<Option<Vec<u8>>, StepError> {
    let Some(opened) = Opened::new(id.pid)? else { return Ok(None) };
    match opened.stat()? {
        Some(stat) if stat.id == id => opened.read(file),
        _ => Ok(None),
    }
}

pub(crate) fn signal(id: ProcessId, signal: Signal) -> Result<Signalled, StepError> {
    let refused = |error: Errno| {
        let kind = if error == Errno::PERM { ErrorKind::Denied } else { ErrorKind::Unknown };
        StepError::new(kind, "the process cannot be signalled").fact("pid", id.pid).because(error)
    };
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw).ok_or_else(|| refused(Errno::INVAL))?;
    // Opened first: whatever process it is, it stays that one, and the check below is of it or of nobody.
    let opened = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(opened) => opened,
        Err(Errno::SRCH) => return Ok(Signalled::Gone),
        Err(error) => return Err(refused(error)),
    };
    if !process(id.pid)?.is_some_and(|found| found.id == id && found.is_running()) {
        return Ok(Signalled::Gone);
    }
    match pidfd_send_signal(opened, native(signal)) {
        Ok(()) => Ok(Signalled::Sent),
        Err(Errno::SRCH) => Ok(Signalled::Gone),
        Err(error) => Err(refused(error)),
    }
}

const fn native(signal: Signal) -> Native {
    match signal {
        Signal::Hup => Native::HUP,
        Signal::Int => Native::INT,
        Signal::Quit => Native::QUIT,
        Signal::Term => Native::TERM,
        Signal::Usr1 => Native::USR1,
        Signal::Usr2 => Native::USR2,
        Signal::Kill => Native::KILL,
    }
}

/// The directory of one process: what is read through it is of that process, or fails.
struct Opened {
    pid: u32,
    directory: OwnedFd,
}

impl Opened {
    fn new(pid: u32) -> Result<Option<Self>, StepError> {
        let path = format!("/proc/{pid}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path.as_str(), flags, Mode::empty()) {
            Ok(directory) => Ok(Some(Self { pid, directory })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(refused(path.as_ref(), error.into())),
        }
    }

    fn stat(&self) -> Result<Option<Stat>, StepError> {
        let Some(text) = self.read("stat")? else { return Ok(None) };
        let stat = process::stat(&text).map(|(stat, _)| stat).filter(|stat| stat.id.pid == self.pid);
        stat.map(Some)
            .ok_or_else(|| StepError::in_doubt("the process is not understood").fact("pid", self.pid))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StepError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut content = Vec::new();
        let read = openat(&self.directory, file, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|opened| File::from(opened).take(FILE_MAX).read_to_end(&mut content));
        match read {
            Ok(_) => Ok(Some(content)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(refused(format!("/proc/{}/{file}", self.pid).as_ref(), error)),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn refused(path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, "the machine cannot be observed").fact("path", path.display()).because(error)
}
