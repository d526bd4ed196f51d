use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flow_core::port::HostPath;
use flow_core::{Digest, ErrorKind, Permit, StepError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::root::{Place, Root};
use crate::os::Draft;

/// The largest file that is read.
const READ_MAX: u64 = 8 * 1024 * 1024;

/// The error for what the kernel refused before anything was changed.
pub(super) fn refused(message: &'static str, path: &HostPath, error: Errno) -> StepError {
    if matches!(error, Errno::XDEV | Errno::LOOP) {
        return StepError::new(ErrorKind::Invalid, "the path leaves its root")
            .fact("path", path)
            .because(error);
    }
    crate::os::refused(message, Path::new(path.as_str()), error.into())
}

/// The name beside which a call writes: the same on its next attempt, which sweeps what an attempt left that died.
pub(super) fn beside(permit: &Permit, path: &HostPath) -> String {
    let of = format!("{}\n{path}", permit.idempotency_key());
    format!(".flow-{}.new", Digest::of(of.as_bytes()).short())
}

pub(super) fn read(root: &Root, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
    let unreadable = |error| refused("the file cannot be read", path, error);
    // Not blocking: a pipe that nobody writes to must not hold the caller up before it is seen to be one.
    let file = match root.at(Some(path.as_str()), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let system = |error| crate::os::refused("the file cannot be read", Path::new(path.as_str()), error);
    if !file.metadata().map_err(system)?.is_file() {
        return Err(StepError::new(ErrorKind::Invalid, "what stands there is no file").fact("path", path));
    }
    let mut content = Vec::new();
    file.take(READ_MAX + 1).read_to_end(&mut content).map_err(system)?;
    if content.len() as u64 > READ_MAX {
        return Err(StepError::new(ErrorKind::Invalid, "the file is too large")
            .fact("path", path)
            .fact("largest", READ_MAX));
    }
    Ok(Some(content))
}

pub(super) fn write(root: &Root, beside: &str, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
    let place = root.make(path)?;
    let written = write_beside(&place, beside, content).and_then(|draft| {
        renameat(&place.parent, beside, &place.parent, place.name)?;
        Ok(draft)
    });
    let draft = match written {
        Ok(draft) => draft,
        Err(error) => {
            let _ = unlinkat(&place.parent, beside, AtFlags::empty());
            return Err(crate::os::refused("the file cannot be written", Path::new(path.as_str()), error));
        }
    };
    observe(&place, &draft, path)
}

/// Makes the file that was renamed to its place outlive a loss of power, and sees that it stands there.
pub(super) fn observe(place: &Place<'_>, draft: &Draft, path: &HostPath) -> Result<(), StepError> {
    let lasting = |error| refused("the file cannot be made durable", path, error).after_effect();
    place.sync().map_err(lasting)?;
    let found = statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(lasting)?;
    let meant = draft
        .file()
        .metadata()
        .map_err(|error| lasting(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if found.st_ino == meant.ino() {
        Ok(())
    } else {
        Err(StepError::in_doubt("somebody else replaced the file at the same time").fact("path", path))
    }
}

fn write_beside(place: &Place<'_>, beside: &str, content: &[u8]) -> io::Result<Draft> {
    let mut draft = Draft::begin(&place.parent, beside, Mode::from_raw_mode(0o644))?;
    // Who may read the file stays as it was.
    if let Ok(old) = statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(old.st_mode).is_file()
    {
        fchmod(draft.file(), Mode::from_raw_mode(old.st_mode & 0o7777))?;
    }
    draft.write_all(content)?;
    draft.sync()?;
    Ok(draft)
}

fn sweep(place: &Place<'_>, beside: &str) -> Result<(), Errno> {
    match unlinkat(&place.parent, beside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn remove(root: &Root, path: &HostPath) -> Result<(), StepError> {
    let Some(place) = root.find(path)? else { return Ok(()) };
    match unlinkat(&place.parent, place.name, AtFlags::empty()) {
        Ok(()) => place
            .sync()
            .map_err(|error| refused("the removal cannot be made durable", path, error).after_effect()),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(refused("the file cannot be removed", path, error)),
    }
}

pub(super) fn read_link(root: &Root, path: &HostPath) -> Result<Option<String>, StepError> {
    let Some(place) = root.find(path)? else { return Ok(None) };
    let target = place.read_link().map_err(|error| refused("the link cannot be read", path, error))?;
    let Some(target) = target else { return Ok(None) };
    let target = target.into_string().map_err(|error| {
        StepError::new(ErrorKind::Invalid, "the link's target is no text").fact("path", path).because(error)
    })?;
    Ok(Some(from_root(path, &target).unwrap_or(target)))
}

pub(super) fn link(root: &Root, beside: &str, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
    let place = root.make(path)?;
    let written = from_link(path, target);
    let renamed = sweep(&place, beside)
        .and_then(|()| symlinkat(&written, &place.parent, beside))
        .and_then(|()| replaces_a_link(&place))
        .and_then(|()| renameat(&place.parent, beside, &place.parent, place.name));
    if let Err(error) = renamed {
        let _ = unlinkat(&place.parent, beside, AtFlags::empty());
        return Err(refused("the link cannot be written", path, error));
    }
    let lasting = |error| refused("the link cannot be made durable", path, error).after_effect();
    place.sync().map_err(lasting)?;
    let found = place.read_link().map_err(lasting)?;
    if found.is_some_and(|found| found.as_bytes() == written.as_bytes()) {
        Ok(())
    } else {
        Err(StepError::in_doubt("somebody else replaced the link at the same time").fact("path", path))
    }
}

/// Refuses to put a link where anything but a link stands: what it holds would be lost.
fn replaces_a_link(place: &Place<'_>) -> Result<(), Errno> {
    match statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode).is_symlink() => Ok(()),
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn list(root: &Root, path: &HostPath) -> Result<Vec<String>, StepError> {
    let unreadable = |error| refused("the directory cannot be read", path, error);
    let directory = match root.directory(Some(path.as_str())) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in Dir::new(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_str().map_err(|error| {
            StepError::new(ErrorKind::Invalid, "a name in the directory is no text")
                .fact("path", path)
                .because(error)
        })?;
        if !matches!(name, "." | "..") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The working directory of a command, and a path that names it for as long as it is open: what the directory was called
/// when it was checked may be called something else by the time the program starts.
pub(super) fn working_directory(
    root: &Root,
    path: Option<&HostPath>,
) -> Result<(OwnedFd, PathBuf), StepError> {
    let directory = root.directory(path.map(HostPath::as_str)).map_err(|error| match path {
        Some(path) => refused("the working directory cannot be used", path, error),
        None => crate::os::refused("the working directory cannot be used", root.path(), error.into()),
    })?;
    let named = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    Ok((directory, named))
}

/// The file of a program: itself where it is a path, otherwise the first executable of its name in `search`.
pub(super) fn find_program(program: &str, search: &str) -> Result<PathBuf, StepError> {
    if program.starts_with('/') {
        return Ok(PathBuf::from(program));
    }
    search
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| Path::new(directory).join(program))
        .find(|file| {
            file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
        .ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "the program is in no directory of the host's `PATH`")
                .fact("program", program)
                .fact("PATH", search)
        })
}

/// What to write into the link at `path` so that it leads to `target`, both seen from the root.
fn from_link(path: &HostPath, target: &HostPath) -> String {
    let depth = path.as_str().matches('/').count();
    format!("{}{target}", "../".repeat(depth))
}

/// Where a link at `path` leads, seen from the root; none where that is not below it.
fn from_root(path: &HostPath, written: &str) -> Option<String> {
    if written.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.as_str().split('/').collect();
    parts.pop();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    HostPath::new(parts.join("/")).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_from_its_own_place_what_was_asked_from_the_root() {
        let at = |path: &str| HostPath::new(path).unwrap();
        for (path, target, written) in [
            ("current", "releases/1", "releases/1"),
            ("web/current", "releases/1", "../releases/1"),
            ("a/b/current", "a/c", "../../a/c"),
        ] {
            assert_eq!(from_link(&at(path), &at(target)), written);
            assert_eq!(from_root(&at(path), written).as_deref(), Some(target));
        }
        assert_eq!(from_root(&at("a/current"), "../../etc"), None);
        assert_eq!(from_root(&at("current"), "/etc"), None);
    }
}
