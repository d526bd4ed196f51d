use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flow_core::port::{AssetFile, HostPath};
use flow_core::{CancelToken, Digest, ErrorKind, Problems, StepError};
use flow_tencent::{Digester, Digests};
use sha2::{Digest as _, Sha256};

use super::pace::go_on;

/// How deep directories may nest.
const DEPTH: usize = 64;
/// How much is read between two looks at whether to stop.
const CHUNK: usize = 1 << 18;

/// A file of this machine: what a manifest says of it, and what the storage will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) file: AssetFile,
    pub(crate) digests: Digests,
}

/// Runs work on files where it may block. The token that `work` gets is cancelled with `token`, and when nobody waits any more.
pub(crate) async fn off_thread<T: Send + 'static>(
    token: &CancelToken,
    work: impl FnOnce(&CancelToken) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    struct CancelOnDrop(CancelToken);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let token = token.child();
    let _abandoned = CancelOnDrop(token.clone());
    tokio::task::spawn_blocking(move || work(&token))
        .await
        .map_err(|error| StepError::in_doubt("the work on files ended early").because(error))?
}

/// All files below `root`, by path. Links, what is neither file nor directory, what cannot be read and paths that `refused` says something
/// about are refused, all at once.
pub(crate) fn digests(
    root: &Path,
    refused: &dyn Fn(&str) -> Option<String>,
    token: &CancelToken,
) -> Result<BTreeMap<String, LocalFile>, StepError> {
    let begun = fs::read_dir(root).map_err(|error| missing(root, error))?;
    let mut walk = Walk { refused, token, found: BTreeMap::new(), problems: Problems::default() };
    walk.directory(begun, "", 0)?;
    walk.problems.into_result()?;
    Ok(walk.found)
}

/// Opens a regular file; a link is refused by the system.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

struct Walk<'a> {
    refused: &'a dyn Fn(&str) -> Option<String>,
    token: &'a CancelToken,
    found: BTreeMap<String, LocalFile>,
    problems: Problems,
}

impl Walk<'_> {
    fn directory(&mut self, entries: fs::ReadDir, prefix: &str, depth: usize) -> Result<(), StepError> {
        for entry in entries {
            go_on(self.token)?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.problems.add(prefix, format!("cannot be read: {error}"));
                    break;
                }
            };
            let name = entry.file_name();
            let path = name.to_str().map(|name| format!("{prefix}{name}"));
            let Some(path) = path.filter(|path| HostPath::new(path.as_str()).is_ok()) else {
                let shown = format!("{prefix}{}", name.display()).escape_debug().to_string();
                let why = "is no UTF-8, over 1,024 bytes, or holds a backslash or a control character";
                self.problems.add(shown, why);
                continue;
            };
            match entry.file_type() {
                Err(error) => self.problems.add(path, format!("cannot be looked at: {error}")),
                Ok(kind) if kind.is_dir() => self.below(&entry, &path, depth)?,
                Ok(kind) if kind.is_file() => self.file(&entry, path)?,
                Ok(kind) if kind.is_symlink() => {
                    self.problems.add(path, "is a link, and links are not followed");
                }
                Ok(_) => self.problems.add(path, "is neither a file nor a directory"),
            }
        }
        Ok(())
    }

    fn below(&mut self, entry: &fs::DirEntry, path: &str, depth: usize) -> Result<(), StepError> {
        if depth >= DEPTH {
            self.problems.add(path, format!("directories nest deeper than {DEPTH}"));
            return Ok(());
        }
        match fs::read_dir(entry.path()) {
            Ok(entries) => self.directory(entries, &format!("{path}/"), depth + 1),
            Err(error) => {
                self.problems.add(path, format!("cannot be read: {error}"));
                Ok(())
            }
        }
    }

    fn file(&mut self, entry: &fs::DirEntry, path: String) -> Result<(), StepError> {
        if let Some(why) = (self.refused)(&path) {
            self.problems.add(path, why);
            return Ok(());
        }
        match self.digest(&entry.path()) {
            Ok(file) => {
                go_on(self.token)?;
                self.found.insert(path, file);
            }
            Err(error) => self.problems.add(path, format!("cannot be read: {error}")),
        }
        Ok(())
    }

    /// What a file holds; cut short where the work was stopped.
    fn digest(&self, path: &Path) -> io::Result<LocalFile> {
        let mut file = open(path)?;
        let (mut sha256, mut digester) = (Sha256::new(), Digester::new());
        let mut chunk = vec![0; CHUNK];
        while !self.token.is_cancelled() {
            let read = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = chunk.get(..read).unwrap_or_default();
            sha256.update(piece);
            digester.update(piece);
        }
        let digests = digester.finish();
        let digest = Digest::from_bytes(sha256.finalize().into());
        Ok(LocalFile { file: AssetFile { digest, bytes: digests.length }, digests })
    }
}

fn missing(root: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, "the site's directory cannot be read").fact("path", root.display()).because(error)
}
