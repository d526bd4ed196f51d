//! A directory held open: its files are read, replaced and removed durably, and no link in it is ever followed.
//!
//! All access goes by the open directory and one plain name, so a directory that is swapped for a link between a check
//! and its use is refused, not followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, StepError};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::os::Draft;

/// Who may read what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// The owner alone: files 0600, directories 0700.
    Owner,
    /// Everyone that the umask lets: files 0644, directories 0755.
    Everyone,
}

impl Readers {
    const fn file(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::Owner => 0o600,
            Self::Everyone => 0o644,
        })
    }

    const fn directory(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::Owner => 0o700,
            Self::Everyone => 0o755,
        })
    }
}

/// What a file is called until it is whole. A writer that died leaves one behind; the next writer replaces it.
pub(super) const STAGED: &str = ".flow-new";

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory held open.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory at `path`; none where there is nothing. A link to it is followed: whoever sets up a store
    /// decides where it stands.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, StepError> {
        match rustix::fs::open(path, OPEN_DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: path.to_path_buf() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(refused(errno, "the directory cannot be opened", path)),
        }
    }

    /// Opens the directory at `path`, and makes it and its parents where they are missing.
    pub(super) fn make(path: &Path, readers: Readers) -> Result<Self, StepError> {
        if let Some(found) = Self::find(path)? {
            return Ok(found);
        }
        let missing = || refused(Errno::NOENT, "the directory cannot be made", path);
        let parent = path.parent().ok_or_else(missing)?;
        let name = path.file_name().ok_or_else(missing)?;
        // A relative path ends in the empty one, which names the working directory.
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        Self::make(parent, readers)?.make_child(name, readers)
    }

    /// Opens the directory `name` in this one; none where there is nothing.
    pub(super) fn child(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>, StepError> {
        let path = self.path_of(name.as_ref());
        match rustix::fs::openat(&self.fd, name.as_ref(), OPEN_DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(refused(errno, "the directory cannot be opened", &path)),
        }
    }

    /// Opens the directory `name` in this one, and makes it where it is missing.
    pub(super) fn make_child(&self, name: impl AsRef<OsStr>, readers: Readers) -> Result<Self, StepError> {
        let path = self.path_of(name.as_ref());
        match rustix::fs::mkdirat(&self.fd, name.as_ref(), readers.directory()) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(refused(errno, "the directory cannot be made", &path)),
        }
        self.child(name)?.ok_or_else(|| refused(Errno::NOENT, "the directory vanished", &path))
    }

    /// Opens the directory that holds the last part of `path`, a plain path below this one; none where it is missing.
    pub(super) fn descend<'p>(&self, path: &'p str) -> Result<Option<(Self, &'p str)>, StepError> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut directory = self.again()?;
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            match directory.child(part)? {
                Some(child) => directory = child,
                None => return Ok(None),
            }
        }
        Ok(Some((directory, name)))
    }

    /// Opens the directory that holds the last part of `path`, and makes it where it is missing.
    pub(super) fn make_way<'p>(&self, path: &'p str, readers: Readers) -> Result<(Self, &'p str), StepError> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut directory = self.again()?;
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            directory = directory.make_child(part, readers)?;
        }
        Ok((directory, name))
    }

    /// Opens this directory once more.
    fn again(&self) -> Result<Self, StepError> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|error| failed(error, "the directory cannot be opened", &self.path))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    /// Waits until no other writer holds this directory, and holds it for as long as it is open.
    pub(super) fn lock(self) -> Result<Self, StepError> {
        loop {
            match rustix::fs::flock(&self.fd, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(self),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused(errno, "the directory cannot be locked", &self.path)),
            }
        }
    }

    /// The permission bits and the owner.
    pub(super) fn mode_and_owner(&self) -> Result<(u32, u32), StepError> {
        let stat = rustix::fs::fstat(&self.fd)
            .map_err(|errno| refused(errno, "the directory cannot be looked at", &self.path))?;
        Ok((Mode::from_raw_mode(stat.st_mode).as_raw_mode(), stat.st_uid))
    }

    /// Opens the regular file `name` for reading; none where there is nothing. A link is refused, and so is a pipe,
    /// without waiting for its writer.
    pub(super) fn open_file(&self, name: impl AsRef<OsStr>) -> Result<Option<File>, StepError> {
        let path = self.path_of(name.as_ref());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name.as_ref(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(refused(Errno::LOOP, "the file is a link, and links are not followed", &path));
            }
            Err(errno) => return Err(refused(errno, "the file cannot be opened", &path)),
        };
        let stat =
            rustix::fs::fstat(&fd).map_err(|errno| refused(errno, "the file cannot be looked at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(
                StepError::new(ErrorKind::Conflict, "not a regular file").fact("path", path.display())
            );
        }
        Ok(Some(File::from(fd)))
    }

    /// Reads the regular file `name`, of at most `limit` bytes; none where there is nothing.
    pub(super) fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> Result<Option<Vec<u8>>, StepError> {
        let Some(file) = self.open_file(name.as_ref())? else { return Ok(None) };
        let path = self.path_of(name.as_ref());
        let mut content = Vec::new();
        // One byte beyond the limit tells a file that is too large from one that just fits, even while it grows.
        let taken = file
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| failed(error, "the file cannot be read", &path))?;
        if u64::try_from(taken).unwrap_or(u64::MAX) > limit {
            return Err(StepError::new(ErrorKind::Invalid, "the file is larger than its limit")
                .fact("path", path.display())
                .fact("limit", limit));
        }
        Ok(Some(content))
    }

    /// The names in this directory and what they are, ordered.
    pub(super) fn entries(&self) -> Result<Vec<(OsString, FileType)>, StepError> {
        let unreadable = |errno| refused(errno, "the directory cannot be listed", &self.path);
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say it in the listing.
                FileType::Unknown => match rustix::fs::statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(unreadable(errno)),
                },
                known => known,
            };
            entries.push((name, kind));
        }
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(entries)
    }

    /// Begins a new file called `staged` in this directory; one that a dead writer left under the name is removed.
    pub(super) fn stage(&self, staged: &str, readers: Readers) -> Result<Staged<'_>, StepError> {
        let path = self.path_of(OsStr::new(staged));
        let draft = Draft::begin(&self.fd, staged, readers.file())
            .map_err(|error| failed(error, "the file cannot be written", &path))?;
        Ok(Staged { directory: self, name: staged.to_owned(), draft, settled: false })
    }

    /// Replaces the file `name` and reads it back. The old file stands whole on every error but one in doubt.
    pub(super) fn replace(&self, name: &str, content: &[u8], readers: Readers) -> Result<(), StepError> {
        let mut staged = self.stage(STAGED, readers)?;
        staged.write(content)?;
        staged.settle(self, name)?;
        let limit = u64::try_from(content.len()).unwrap_or(u64::MAX);
        match self.read(name, limit).map_err(StepError::after_effect)? {
            Some(found) if found == content => Ok(()),
            _ => Err(StepError::in_doubt("the file does not hold what was written")
                .fact("path", self.path_of(OsStr::new(name)).display())),
        }
    }

    /// Removes the file or link `name`; one that is not there is done.
    pub(super) fn remove_file(&self, name: &str) -> Result<(), StepError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => self.sync().map_err(StepError::after_effect),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(refused(errno, "the file cannot be removed", &self.path_of(OsStr::new(name)))),
        }
    }

    /// Removes the directory `name` if it is empty; says whether it is gone.
    pub(super) fn remove_if_empty(&self, name: &str) -> Result<bool, StepError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true).map_err(StepError::after_effect),
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => {
                Err(refused(errno, "the directory cannot be removed", &self.path_of(OsStr::new(name))))
            }
        }
    }

    /// The path of `name`, for messages.
    pub(super) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    fn sync(&self) -> Result<(), StepError> {
        rustix::fs::fsync(&self.fd)
            .map_err(|errno| refused(errno, "the directory is not durable", &self.path))
    }
}

/// A file that is not in force yet. Dropped without being [settled](Self::settle), it is removed.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    directory: &'a Directory,
    name: String,
    draft: Draft,
    settled: bool,
}

impl Staged<'_> {
    /// Where the content goes.
    pub(super) const fn writer(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Writes all of `content`.
    pub(super) fn write(&mut self, content: &[u8]) -> Result<(), StepError> {
        self.draft
            .write_all(content)
            .map_err(|error| failed(error, "the file cannot be written", &self.directory.path_of(&self.name)))
    }

    /// Makes the content durable and keeps it under the staged name, for [`put_in_force`].
    pub(super) fn keep(mut self) -> Result<(), StepError> {
        self.make_durable()?;
        self.settled = true;
        Ok(())
    }

    /// Makes the content durable and puts it in force as `name` in `target`.
    pub(super) fn settle(mut self, target: &Directory, name: &str) -> Result<(), StepError> {
        self.make_durable()?;
        put_in_force(self.directory, &self.name, target, name)?;
        self.settled = true;
        Ok(())
    }

    fn make_durable(&self) -> Result<(), StepError> {
        self.draft
            .sync()
            .map_err(|error| failed(error, "the file is not durable", &self.directory.path_of(&self.name)))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.settled {
            // What stays behind here is replaced by the next writer; nobody reads it.
            let _ = rustix::fs::unlinkat(&self.directory.fd, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Renames the durable file `staged` in `from` over `name` in `to`, and makes that durable.
pub(super) fn put_in_force(
    from: &Directory,
    staged: &str,
    to: &Directory,
    name: &str,
) -> Result<(), StepError> {
    rustix::fs::renameat(&from.fd, staged, &to.fd, name)
        .map_err(|errno| refused(errno, "the file cannot be put in force", &to.path_of(name)))?;
    to.sync().map_err(StepError::after_effect)
}

/// The error of a failed call on `path`.
pub(super) fn failed(error: io::Error, message: &'static str, path: &Path) -> StepError {
    match Errno::from_io_error(&error) {
        Some(errno) => refused(errno, message, path),
        None => StepError::in_doubt(message).fact("path", path.display()).because(error),
    }
}

fn refused(errno: Errno, message: &'static str, path: &Path) -> StepError {
    let kind = match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::EXIST | Errno::NOTEMPTY | Errno::XDEV => {
            ErrorKind::Conflict
        }
        Errno::NAMETOOLONG | Errno::INVAL => ErrorKind::Invalid,
        // Room and descriptors come back; the effect did not come about without them.
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE => ErrorKind::Unavailable,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, message).fact("path", path.display()).because(io::Error::from(errno))
}
