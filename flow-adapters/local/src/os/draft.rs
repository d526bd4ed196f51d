//! A file that is not in force yet.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

#[cfg(test)]
use super::full;

/// A file that is being written and that nobody reads yet. Every byte that a store or a record puts on the disk goes through
/// here, so this is where a test takes the room away (`FullDisk`).
#[derive(Debug)]
pub(crate) struct Draft(File);

const OPEN: OFlags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Draft {
    /// Begins a new file `name` in `directory`. One that a dead writer left under the name was never completed, so it is of
    /// no use to anyone and goes.
    pub(crate) fn begin(directory: impl AsFd, name: impl AsRef<Path>, mode: Mode) -> io::Result<Self> {
        let (directory, name) = (directory.as_fd(), name.as_ref());
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        #[cfg(test)]
        full::begin(directory, name)?;
        Ok(Self(openat(directory, name, OPEN | OFlags::EXCL, mode)?.into()))
    }

    /// Goes on with the file `name` in `directory` that an earlier writer left, or begins it. What it holds is still to be
    /// compared. What stands there and is no file of that name alone goes.
    pub(crate) fn resume(directory: impl AsFd, name: impl AsRef<Path>, mode: Mode) -> io::Result<Self> {
        let (directory, name) = (directory.as_fd(), name.as_ref());
        #[cfg(test)]
        full::begin(directory, name)?;
        // Not blocking: a pipe in its place must not hold the caller up before it is seen to be one.
        match openat(directory, name, OPEN | OFlags::NONBLOCK, mode).map(File::from) {
            Ok(file) => {
                let found = file.metadata()?;
                if found.is_file() && found.nlink() == 1 {
                    return Ok(Self(file));
                }
            }
            Err(Errno::LOOP | Errno::NXIO) => {}
            Err(errno) => return Err(errno.into()),
        }
        Self::begin(directory, name, mode)
    }

    /// Makes what was written outlive a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        full::sync(&self.0)?;
        self.0.sync_all()
    }

    /// The file itself.
    pub(crate) const fn file(&self) -> &File {
        &self.0
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = full::fit(&self.0, bytes)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
