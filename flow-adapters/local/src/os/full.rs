//! A disk without room, for tests: what the kernel would answer, without a disk to fill.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// The disks that are full at this moment.
static DISKS: Mutex<Vec<Disk>> = Mutex::new(Vec::new());

struct Disk {
    root: PathBuf,
    room: Room,
}

/// What room a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// For no other file.
    NoFile,
    /// For so many bytes: a write takes what fits, and the next one nothing.
    Bytes(usize),
    /// As much as anybody asks for, until it is to be made durable: allocation was put off.
    UntilSynced,
}

/// A disk that is full from the moment that this is made until it is dropped.
#[derive(Debug)]
pub(crate) struct FullDisk {
    root: PathBuf,
}

impl FullDisk {
    /// Takes the room away below `root`.
    pub(crate) fn below(root: &Path, room: Room) -> Self {
        let root = fs::canonicalize(root).unwrap();
        disks().push(Disk { root: root.clone(), room });
        Self { root }
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        disks().retain(|disk| disk.root != self.root);
    }
}

/// Answers for a new file.
pub(super) fn begin(directory: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let parent = if name.is_absolute() { name.parent().unwrap().to_path_buf() } else { path_of(directory)? };
    match disks().iter().find(|disk| parent.starts_with(&disk.root)) {
        Some(Disk { room: Room::NoFile, .. }) => Err(Errno::NOSPC.into()),
        _ => Ok(()),
    }
}

/// Answers for a write: how much of `bytes` there is room for.
pub(super) fn fit<'b>(file: &File, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
    let path = path_of(file)?;
    match disks().iter_mut().find(|disk| path.starts_with(&disk.root)).map(|disk| &mut disk.room) {
        Some(Room::Bytes(0)) if !bytes.is_empty() => Err(Errno::NOSPC.into()),
        Some(Room::Bytes(left)) => {
            let taken = bytes.len().min(*left);
            *left -= taken;
            Ok(&bytes[..taken])
        }
        _ => Ok(bytes),
    }
}

/// Answers for what was written.
pub(super) fn sync(file: &File) -> io::Result<()> {
    let path = path_of(file)?;
    match disks().iter().find(|disk| path.starts_with(&disk.root)) {
        Some(Disk { room: Room::UntilSynced, .. }) => Err(Errno::NOSPC.into()),
        _ => Ok(()),
    }
}

fn path_of(fd: impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

fn disks() -> MutexGuard<'static, Vec<Disk>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}
