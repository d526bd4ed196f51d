use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{OutsideError, Tree};

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    mode: u32,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Directory,
    File([u8; 32]),
    Link(PathBuf),
    /// A socket, a pipe or a device.
    Other,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Directory => f.write_str("directory")?,
            Content::File(digest) => write!(f, "content {}", hex(digest))?,
            Content::Link(target) => write!(f, "link to `{}`", target.display())?,
            Content::Other => f.write_str("no plain file")?,
        }
        write!(f, ", mode {:04o}", self.mode)
    }
}

/// The beginning of a digest, enough to tell two apart.
pub(super) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads everything below the root; nothing where there is no such directory.
pub(super) fn read(tree: &Tree) -> Result<BTreeMap<PathBuf, Entry>, OutsideError> {
    let mut entries = BTreeMap::new();
    let mut ahead = vec![tree.root.clone()];
    while let Some(path) = ahead.pop() {
        let is_left_out = path
            .strip_prefix(&tree.root)
            .is_ok_and(|below| tree.except.iter().any(|except| below.starts_with(except)));
        if is_left_out {
            continue;
        }
        let found = look(&path).and_then(|entry| {
            if entry.content == Content::Directory {
                let below = fs::read_dir(&path)?.map(|entry| entry.map(|entry| entry.path()));
                ahead.extend(below.collect::<io::Result<Vec<_>>>()?);
            }
            Ok(entry)
        });
        match found {
            Ok(entry) => _ = entries.insert(path, entry),
            // It was removed after it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(OutsideError::file(&path)(error)),
        }
    }
    Ok(entries)
}

fn look(path: &Path) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let content = if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        Content::Link(fs::read_link(path)?)
    } else if kind.is_file() {
        Content::File(Sha256::digest(fs::read(path)?).into())
    } else {
        Content::Other
    };
    Ok(Entry { mode: metadata.permissions().mode() & 0o7777, content })
}
