use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use flow_core::port::HostPath;
use flow_core::{CancelToken, Digest, ErrorKind, StepError};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, renameat, statat, unlinkat};
use sha2::{Digest as _, Sha256};

use super::client::observe;
use super::root::{Place, Root};
use crate::os::{Draft, go_on, refused};

/// How much is copied between two looks at whether to stop.
const CHUNK: u64 = 1 << 20;

/// Copies a file into the root; none while somebody else copies to the same place.
///
/// It arrives under a name that is the same for every copy to `to`, and is locked there. Only a cancel, or a death, leaves
/// what has arrived to the next one.
pub(super) fn copy(
    root: &Root,
    from: &Path,
    to: &HostPath,
    token: &CancelToken,
) -> Result<Option<()>, StepError> {
    go_on(token)?;
    let source = open(from)?;
    let place = root.make(to)?;
    let beside = format!(".flow-{}.part", Digest::of(to.as_str().as_bytes()).short());
    let unwritable = |error| refused("the file cannot be copied", Path::new(to.as_str()), error);
    let stands = statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let stands = stands.filter(|stands| !FileType::from_raw_mode(stands.st_mode).is_symlink());
    if stands.is_some_and(|stands| FileType::from_raw_mode(stands.st_mode).is_dir()) {
        return Err(unwritable(io::ErrorKind::IsADirectory.into()));
    }
    let Some(mut draft) = hold(&place, &beside).map_err(unwritable)? else { return Ok(None) };
    let copied = bring(&Source { file: &source, path: from }, &mut draft, unwritable, token).and_then(|()| {
        let mode = mode(&source, stands.map(|stands| stands.st_mode), &draft).map_err(unwritable)?;
        fchmod(draft.file(), mode).map_err(|error| unwritable(error.into()))?;
        draft.sync().map_err(unwritable)?;
        renameat(&place.parent, &*beside, &place.parent, place.name).map_err(|error| unwritable(error.into()))
    });
    if let Err(error) = copied {
        if error.kind() != ErrorKind::Cancelled {
            let _ = unlinkat(&place.parent, &*beside, AtFlags::empty());
        }
        return Err(error);
    }
    observe(&place, &draft, to).map(Some)
}

/// The file to copy.
struct Source<'a> {
    file: &'a File,
    path: &'a Path,
}

impl Source<'_> {
    fn unreadable(&self, error: io::Error) -> StepError {
        refused("the file to copy cannot be read", self.path, error)
    }
}

fn open(from: &Path) -> Result<File, StepError> {
    let unreadable = |error| refused("the file to copy cannot be read", from, error);
    // Not blocking: a pipe that nobody writes to must not hold the caller up before it is seen to be one.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(from).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(StepError::new(ErrorKind::Invalid, "what is to be copied is no file")
            .fact("path", from.display()));
    }
    Ok(file)
}

/// Opens and locks what stands beside; none while somebody else holds it, or has just put it in force.
fn hold(place: &Place<'_>, beside: &str) -> io::Result<Option<Draft>> {
    let draft = Draft::resume(&place.parent, beside, Mode::from_raw_mode(0o644))?;
    match draft.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let held = draft.file().metadata()?.ino();
    let named = statat(&place.parent, beside, AtFlags::SYMLINK_NOFOLLOW);
    Ok(named.is_ok_and(|named| named.st_ino == held).then_some(draft))
}

/// Brings all that the file held when this began into the draft, and compares what has arrived with it.
fn bring(
    source: &Source<'_>,
    draft: &mut Draft,
    unwritable: impl Fn(io::Error) -> StepError,
    token: &CancelToken,
) -> Result<(), StepError> {
    let unreadable = |error| source.unreadable(error);
    let meant = digest(source.file, unreadable, token)?;
    let right = common(source, draft.file(), &unwritable, token)?;
    draft.file().set_len(right).map_err(&unwritable)?;
    from(draft.file(), right).map_err(&unwritable)?;
    from(source.file, right).map_err(unreadable)?;
    let mut buffer = Vec::new();
    while chunk(source.file, &mut buffer).map_err(unreadable)? {
        go_on(token)?;
        draft.write_all(&buffer).map_err(&unwritable)?;
    }
    if digest(draft.file(), unwritable, token)? == meant {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "what arrived is not what the file held when the copy began")
        .fact("path", source.path.display())
        .fact("digest", meant))
}

/// How far the draft holds what the file holds.
fn common(
    source: &Source<'_>,
    draft: &File,
    unwritable: impl Fn(io::Error) -> StepError,
    token: &CancelToken,
) -> Result<u64, StepError> {
    from(source.file, 0).map_err(|error| source.unreadable(error))?;
    from(draft, 0).map_err(&unwritable)?;
    let (mut meant, mut found, mut right) = (Vec::new(), Vec::new(), 0);
    loop {
        go_on(token)?;
        chunk(source.file, &mut meant).map_err(|error| source.unreadable(error))?;
        chunk(draft, &mut found).map_err(&unwritable)?;
        // Byte for byte only where the difference is.
        let same = if meant == found {
            meant.len()
        } else {
            meant.iter().zip(&found).take_while(|(a, b)| a == b).count()
        };
        right += u64::try_from(same).unwrap_or_default();
        if same < meant.len() || meant.is_empty() {
            return Ok(right);
        }
    }
}

/// The digest of all that a file holds.
fn digest(
    file: &File,
    failed: impl Fn(io::Error) -> StepError,
    token: &CancelToken,
) -> Result<Digest, StepError> {
    from(file, 0).map_err(&failed)?;
    let (mut hasher, mut buffer) = (Sha256::new(), Vec::new());
    while chunk(file, &mut buffer).map_err(&failed)? {
        go_on(token)?;
        hasher.update(&buffer);
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn from(mut file: &File, position: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(position)).map(drop)
}

/// Reads the next part of a file; false where there is none.
fn chunk(file: &File, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.clear();
    file.take(CHUNK).read_to_end(buffer)?;
    Ok(!buffer.is_empty())
}

/// Who may read the file stays as it was; who may read it may execute it where `source` may be.
fn mode(source: &File, stands: Option<u32>, draft: &Draft) -> io::Result<Mode> {
    let mode = match stands {
        Some(mode) => mode,
        None => draft.file().metadata()?.mode(),
    };
    let executable = source.metadata()?.mode() & 0o100 != 0;
    Ok(Mode::from_raw_mode(if executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 } & 0o7777))
}
