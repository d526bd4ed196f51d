//! Reads an artefact, file by file, through directory handles: no link is ever followed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flow_core::port::HostPath;
use flow_core::{Digest, ErrorKind, StepError};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::{refused, sync_directory};
use crate::config::Limits;
use crate::digest::{Content, Entry, of_directory};

/// How deep directories may be nested.
const DEPTH_MAX: usize = 128;

/// What an artefact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A file that is no program.
    File,
    /// A file that may be executed.
    Executable,
    /// A directory.
    Directory,
}

/// The digest of the artefact at `path` below `root`. With `copy_to` it is copied there while it is hashed, made durable
/// and read-only.
pub(super) fn read(
    root: &Path,
    path: &HostPath,
    limits: Limits,
    copy_to: Option<&Path>,
) -> Result<(Digest, Kind), StepError> {
    let mut reader = Reader { limits, bytes: 0, entries: Vec::new(), root: root.join(path.as_str()) };
    let mut at = open(CWD, root.as_os_str(), OFlags::DIRECTORY).map_err(|error| reader.lost("", error))?;
    let (parents, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    for parent in parents.split('/').filter(|part| !part.is_empty()) {
        at = open(at.as_fd(), parent.as_ref(), OFlags::DIRECTORY).map_err(|error| reader.lost("", error))?;
    }
    let content = reader.node(at.as_fd(), name.as_ref(), "", copy_to, 0)?;
    Ok(match content {
        Content::File(digest) => (digest, Kind::File),
        Content::Executable(digest) => (digest, Kind::Executable),
        Content::Directory => (of_directory(reader.entries), Kind::Directory),
    })
}

/// Opens without following a link and without waiting for the other end of a pipe.
fn open(at: BorrowedFd<'_>, name: &std::ffi::OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

struct Reader {
    limits: Limits,
    bytes: u64,
    /// What lies below the artefact, if it is a directory.
    entries: Vec<Entry>,
    /// Where the artefact stands, for messages.
    root: PathBuf,
}

impl Reader {
    fn node(
        &mut self,
        at: BorrowedFd<'_>,
        name: &std::ffi::OsStr,
        path: &str,
        copy_to: Option<&Path>,
        depth: usize,
    ) -> Result<Content, StepError> {
        let found =
            statat(at, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| self.lost(path, error.into()))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(self.unfit(path, "the artefact holds a link, a device or another special file"));
        }
        if Mode::from_raw_mode(found.st_mode).intersects(Mode::SUID | Mode::SGID)
            && kind == FileType::RegularFile
        {
            return Err(self.unfit(path, "the artefact holds a file that runs as another user"));
        }
        let opened = open(at, name, OFlags::empty()).map_err(|error| self.lost(path, error))?;
        let again = fstat(&opened).map_err(|error| self.lost(path, error.into()))?;
        if FileType::from_raw_mode(again.st_mode) != kind {
            return Err(self.unfit(path, "the artefact changed while it was read"));
        }
        if kind == FileType::Directory {
            self.directory(&opened, path, copy_to, depth)?;
            return Ok(Content::Directory);
        }
        let (kept_mode, content): (u32, fn(Digest) -> Content) = match again.st_mode & 0o111 {
            0 => (0o444, Content::File),
            _ => (0o555, Content::Executable),
        };
        self.file(File::from(opened), path, copy_to, kept_mode).map(content)
    }

    fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &str,
        copy_to: Option<&Path>,
        depth: usize,
    ) -> Result<(), StepError> {
        if depth == DEPTH_MAX {
            return Err(self.unfit(path, "the artefact's directories are nested too deep"));
        }
        if let Some(copy) = copy_to {
            let made = DirBuilder::new().mode(0o755).create(copy);
            made.map_err(|error| refused("the artefact cannot be copied", copy, error))?;
        }
        let names = Dir::read_from(directory).map_err(|error| self.lost(path, error.into()))?;
        for entry in names {
            let entry = entry.map_err(|error| self.lost(path, error.into()))?;
            let Ok(name) = entry.file_name().to_str() else {
                return Err(self.unfit(path, "the artefact holds a name that is not UTF-8"));
            };
            if matches!(name, "." | "..") {
                continue;
            }
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let copy = copy_to.map(|copy| copy.join(name));
            let content = self.node(directory.as_fd(), name.as_ref(), &path, copy.as_deref(), depth + 1)?;
            self.entries.push(Entry { path: path.clone(), content });
            if self.entries.len() as u64 > self.limits.entries {
                return Err(self
                    .unfit(&path, "the artefact has too many entries")
                    .fact("most", self.limits.entries));
            }
        }
        if let Some(copy) = copy_to {
            // Whatever the umask took away is given back.
            let done = fs::set_permissions(copy, fs::Permissions::from_mode(0o755))
                .and_then(|()| sync_directory(copy));
            done.map_err(|error| refused("the artefact cannot be copied", copy, error))?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        mut from: File,
        path: &str,
        copy_to: Option<&Path>,
        kept_mode: u32,
    ) -> Result<Digest, StepError> {
        let mut copy = copy_to.map(Copy::begin).transpose()?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.lost(path, error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            self.bytes += bytes.len() as u64;
            if self.bytes > self.limits.bytes {
                return Err(self.unfit(path, "the artefact is too large").fact("most", self.limits.bytes));
            }
            hasher.update(bytes);
            if let Some(copy) = &mut copy {
                copy.write(bytes)?;
            }
        }
        if let Some(copy) = copy {
            copy.finish(kept_mode)?;
        }
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }

    fn unfit(&self, path: &str, message: &'static str) -> StepError {
        StepError::new(ErrorKind::Failed, message).fact("path", self.root.join(path).display())
    }

    fn lost(&self, path: &str, error: io::Error) -> StepError {
        refused("the artefact cannot be read", &self.root.join(path), error)
    }
}

/// A file that is being written.
struct Copy<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Copy<'a> {
    fn begin(path: &'a Path) -> Result<Self, StepError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map(|file| Self { path, file })
            .map_err(|error| refused("the artefact cannot be copied", path, error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| refused("the artefact cannot be copied", self.path, error))
    }

    fn finish(self, mode: u32) -> Result<(), StepError> {
        let done =
            self.file.set_permissions(fs::Permissions::from_mode(mode)).and_then(|()| self.file.sync_all());
        done.map_err(|error| refused("the artefact cannot be copied", self.path, error))
    }
}
