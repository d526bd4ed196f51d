//! One archive of an artefact, the same bytes whenever it is made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flow_core::port::HostPath;
use flow_core::{Artifact, CancelToken, ErrorKind, Problems, StepError};
use tar::{Builder, EntryType, Header};

use super::local::{Kind, go_on, unreadable, walk};
use super::releases::RECORD;

/// The time that every file of an archive has: the beginning of 2000. No clock has a say in what is deployed.
const TIME: u64 = 946_684_800;

/// Makes the archive of `artifact` in the directory `archives`: a directory's content, or the single file that it is.
/// Blocks.
pub(crate) fn archive(
    artifact: &Artifact,
    archives: &Path,
    token: &CancelToken,
) -> Result<PathBuf, StepError> {
    let entries = entries(artifact, token)?;
    let to = archives.join(format!("{}.tar", artifact.digest.hex()));
    let beside = to.with_extension("tar.new");
    let unwritable = |error| {
        StepError::in_doubt("the archive cannot be written").fact("path", to.display()).because(error)
    };
    fs::create_dir_all(archives).map_err(unwritable)?;
    let mut builder = Builder::new(BufWriter::new(hold(&beside).map_err(unwritable)?));
    for (path, from, kind) in entries {
        append(&mut builder, &path, &from, kind, token)?;
    }
    builder.into_inner().and_then(|mut file| file.flush()).map_err(unwritable)?;
    fs::rename(&beside, &to).map_err(unwritable)?;
    Ok(to)
}

/// The empty file `path`, which this call alone writes: one that nobody waits for any more may be at it still.
fn hold(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        // Whoever held it before may have renamed it.
        if fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|held| held.ino() == named.ino())) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// What the archive holds: names in it, and where each stands here.
fn entries(artifact: &Artifact, token: &CancelToken) -> Result<Vec<(HostPath, PathBuf, Kind)>, StepError> {
    let root = &artifact.path;
    let metadata = fs::metadata(root).map_err(|error| unreadable(root, error))?;
    if metadata.is_dir() {
        let found = walk(root, token)?;
        let mut problems = Problems::default();
        problems.check(found.iter().all(|(path, _)| path.as_str() != RECORD), RECORD, "the name is taken");
        problems.into_result()?;
        return Ok(found
            .into_iter()
            .map(|(path, kind)| (path.clone(), root.join(path.as_str()), kind))
            .collect());
    }
    let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kind = if metadata.permissions().mode() & 0o100 == 0 { Kind::File } else { Kind::Program };
    Ok(vec![(HostPath::new(name)?, root.clone(), kind)])
}

fn append(
    builder: &mut Builder<impl Write>,
    path: &HostPath,
    from: &Path,
    kind: Kind,
    token: &CancelToken,
) -> Result<(), StepError> {
    go_on(token)?;
    let failed = |error| unreadable(from, error);
    let mut header = Header::new_gnu();
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(if kind == Kind::File { 0o644 } else { 0o755 });
    if kind == Kind::Directory {
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        return builder.append_data(&mut header, path.as_str(), io::empty()).map_err(failed);
    }
    let file = File::open(from).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    // The header has said how much comes: a file that is written to meanwhile must not shift what comes after it.
    let mut content = Counted { file: file.take(size), read: 0, token };
    let appended = builder.append_data(&mut header, path.as_str(), &mut content);
    go_on(token)?;
    appended.map_err(failed)?;
    if content.read == size {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "a file of the artefact became shorter while it was archived")
        .fact("path", from.display()))
}

struct Counted<'a, R> {
    file: R,
    read: u64,
    token: &'a CancelToken,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        go_on(self.token).map_err(io::Error::other)?;
        let count = self.file.read(buffer)?;
        self.read += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }
}
