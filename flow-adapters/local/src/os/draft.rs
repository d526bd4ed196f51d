//! A file that is not in force yet.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

#[cfg(test)]
use super::full;

/// A file that is being written and that nobody reads yet. Every byte that a store or a record puts on the disk goes through
/// here, so this is where a test takes the room away (`FullDisk`).
#[derive(Debug)]
pub(crate) struct Draft(File);

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
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(openat(directory, name, flags, mode)?.into()))
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
