//! The files of this machine.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flow_core::port::{AssetFile, HostPath, Manifest};
use flow_core::{CancelToken, Digest, ErrorKind, Problems, StepError};
use sha2::{Digest as _, Sha256};

/// How deep directories may nest.
const DEPTH: usize = 64;
/// How much is read between two looks at whether to stop.
const CHUNK: u64 = 1 << 20;

/// What stands somewhere below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Directory,
    File,
    /// A file that may be executed.
    Program,
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

/// Says whether work may go on to its next part.
pub(crate) fn go_on(token: &CancelToken) -> Result<(), StepError> {
    if token.is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"));
    }
    Ok(())
}

/// The error for a file of this machine that cannot be read.
pub(super) fn unreadable(path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unknown,
    };
    StepError::new(kind, "the file or directory cannot be read").fact("path", path.display()).because(error)
}

/// All that stands below a directory, ordered by path. Links, what is neither file nor directory and names that no host
/// takes are refused, all at once.
pub(super) fn walk(root: &Path, token: &CancelToken) -> Result<Vec<(HostPath, Kind)>, StepError> {
    let (mut found, mut problems) = (Vec::new(), Problems::default());
    let mut left = vec![(root.to_path_buf(), String::new(), 0)];
    while let Some((directory, prefix, depth)) = left.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| unreadable(&directory, error))? {
            go_on(token)?;
            let entry = entry.map_err(|error| unreadable(&directory, error))?;
            let name = entry.file_name();
            let path = name.to_str().and_then(|name| HostPath::new(format!("{prefix}{name}")).ok());
            let Some(path) = path else {
                problems.add(
                    format!("{prefix}{}", name.display()).escape_debug().to_string(),
                    "is no UTF-8, over 1,024 bytes, or holds a backslash or a control character",
                );
                continue;
            };
            let metadata = entry.metadata().map_err(|error| unreadable(&entry.path(), error))?;
            let kind = if metadata.is_dir() {
                Kind::Directory
            } else if metadata.is_file() {
                if metadata.permissions().mode() & 0o100 == 0 { Kind::File } else { Kind::Program }
            } else {
                problems.add(path.as_str(), "is neither a file nor a directory, and links are not followed");
                continue;
            };
            if kind == Kind::Directory && depth < DEPTH {
                left.push((entry.path(), format!("{path}/"), depth + 1));
            } else if kind == Kind::Directory {
                problems.add(path.as_str(), format!("directories nest deeper than {DEPTH}"));
            }
            found.push((path, kind));
        }
    }
    problems.into_result()?;
    found.sort();
    Ok(found)
}

/// The files below a directory, by path.
pub(crate) fn digests(root: &Path, token: &CancelToken) -> Result<Manifest, StepError> {
    let files = walk(root, token)?.into_iter().filter(|(_, kind)| *kind != Kind::Directory);
    files.map(|(path, _)| Ok((path.to_string(), digest(&root.join(path.as_str()), token)?))).collect()
}

fn digest(path: &Path, token: &CancelToken) -> Result<AssetFile, StepError> {
    let failed = |error| unreadable(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut bytes, mut chunk) = (Sha256::new(), 0, Vec::new());
    loop {
        go_on(token)?;
        chunk.clear();
        let count = file.by_ref().take(CHUNK).read_to_end(&mut chunk).map_err(failed)?;
        if count == 0 {
            return Ok(AssetFile { digest: Digest::from_bytes(hasher.finalize().into()), bytes });
        }
        hasher.update(&chunk);
        bytes += u64::try_from(count).unwrap_or_default();
    }
}
