//! Sealed state in a directory.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use super::blocking::{change, look};
use super::directory::{Directory, Readers, failed};

/// The largest sealed state: 64 MiB.
const LIMIT: u64 = 64 << 20;

/// Keeps sealed state as the file `<root>/<sha256>`, mode 0600, in a directory of mode 0700.
///
/// A vault that somebody else could read is refused, for reading as for writing: `chmod` would hide that the secrets have
/// been open. The content is not encrypted: whoever is this user, or root, can read it.
#[derive(Debug, Clone)]
pub struct DirectoryVault {
    root: PathBuf,
}

impl DirectoryVault {
    /// A vault in the directory `root`, which is made with the first sealed state.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl Vault for DirectoryVault {
    async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError> {
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > LIMIT {
            return Err(StepError::new(ErrorKind::Invalid, "the state to seal is larger than its limit")
                .fact("limit", LIMIT));
        }
        let content = content.to_vec();
        let digest = Digest::of(&content);
        change(permit, &self.root, Readers::Owner, move |root, _| {
            refuse_open_vault(&root)?;
            let name = digest.hex();
            // A kept file that is not whole any more is replaced by what it should be.
            match read_whole(&root, &digest) {
                Ok(Some(_)) => {}
                Ok(None) => root.replace(&name, &content, Readers::Owner)?,
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    root.replace(&name, &content, Readers::Owner)?;
                }
                Err(error) => return Err(error),
            }
            Ok(Sealed { digest })
        })
        .await
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let (path, digest) = (self.root.clone(), sealed.digest);
        look(move || {
            let missing =
                || StepError::new(ErrorKind::NotFound, "the sealed state is gone").fact("digest", digest);
            let root = Directory::find(&path)?.ok_or_else(missing)?;
            refuse_open_vault(&root)?;
            read_whole(&root, &digest)?.ok_or_else(missing)
        })
        .await
    }
}

/// Reads a sealed file after looking at who else could, and compares it with its digest.
fn read_whole(root: &Directory, digest: &Digest) -> Result<Option<Vec<u8>>, StepError> {
    let name = digest.hex();
    let path = root.path_of(&name);
    let Some(file) = root.open_file(&name)? else { return Ok(None) };
    let metadata =
        file.metadata().map_err(|error| failed(error, "the sealed state cannot be looked at", &path))?;
    refuse_other_readers(metadata.mode(), metadata.uid(), &path)?;
    let content = root.read(&name, LIMIT)?;
    match content {
        Some(content) if Digest::of(&content) != *digest => {
            Err(StepError::new(ErrorKind::Conflict, "the sealed state was changed").fact("digest", digest))
        }
        whole => Ok(whole),
    }
}

fn refuse_open_vault(root: &Directory) -> Result<(), StepError> {
    let (mode, owner) = root.mode_and_owner()?;
    refuse_other_readers(mode, owner, &root.path_of(""))
}

fn refuse_other_readers(mode: u32, owner: u32, path: &Path) -> Result<(), StepError> {
    let mode = mode & 0o777;
    let user = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 || owner != user {
        return Err(StepError::new(ErrorKind::Denied, "sealed state is open to others than its owner")
            .fact("path", path.display())
            .fact("mode", format_args!("{mode:03o}"))
            .fact("owner", owner)
            .fact("user", user));
    }
    Ok(())
}
